import { useEffect } from 'react';
import { useCoterie, useObservable, useStatus, useUser } from 'coterie/react';
import { ActivityPage } from '../activity/ActivityPage.js';
import { AuthPage } from '../auth/AuthPage.js';
import { ChannelsPage } from '../channels/ChannelsPage.js';
import { ChatList } from '../chats/ChatList.js';
import { joinRoom } from '../chats/dialogs.js';
import { PeoplePage } from '../people/PeoplePage.js';
import { RoomPage } from '../room/RoomPage.js';
import { SettingsPage } from '../settings/SettingsPage.js';
import { t } from '../strings.js';
import { Button } from '../ui/Button.js';
import { Icon } from '../ui/Icon.js';
import type { IconName } from '../ui/Icon.js';
import { Overlays, hide } from '../ui/overlays.js';
import { Badge, Empty } from '../ui/parts.js';
import { friendRequests, invitations } from './lists.js';
import { useMe } from './people.js';
import { hrefs, replace, useRoute } from './router.js';
import type { Route } from './router.js';
import { classes } from './util.js';

export function App() {
  const user = useUser();
  useEffect(() => {
    if (!user) hide();
  }, [user]);
  return (
    <>
      {user ? <SignedIn key={user.userId} /> : <AuthPage />}
      <Overlays />
    </>
  );
}

function SignedIn() {
  const route = useRoute();
  const joining = route.page === 'join' ? route.roomId : undefined;
  useEffect(() => {
    if (joining === undefined) return;
    replace(hrefs.chats);
    joinRoom(joining);
  }, [joining]);
  const inList = route.page === 'chats' || route.page === 'join' || route.page === 'room';
  return (
    <div className={classes('app', `at-${route.page}`)}>
      <a className="skip" href="#main" onClick={event => {
        // The address is the page's own.
        event.preventDefault();
        document.getElementById('main')?.focus();
      }}>{t.skip}</a>
      <ConnectionBanner />
      <div className="columns">
        <Navigation route={route} />
        {inList && <ChatList current={route.page === 'room' ? route.roomId : undefined} />}
        <main id="main" tabIndex={-1}>
          <Main route={route} />
        </main>
      </div>
    </div>
  );
}

function Main({ route }: { route: Route }) {
  switch (route.page) {
    case 'room':
      return <RoomPage key={route.roomId} roomId={route.roomId} messageId={route.messageId} info={!!route.info} />;
    case 'people':
      return <PeoplePage tab={route.tab} />;
    case 'channels':
      return <ChannelsPage />;
    case 'activity':
      return <ActivityPage tab={route.tab} />;
    case 'settings':
      return <SettingsPage tab={route.tab} />;
    default:
      return <Empty icon="chats" title={t.chats.choose} hint={t.chats.chooseHint} />;
  }
}

function Navigation({ route }: { route: Route }) {
  const me = useMe();
  const rooms = useObservable(useCoterie().rooms);
  const requests = useObservable(friendRequests).data ?? [];
  const invited = useObservable(invitations).data ?? [];
  const unread = rooms.filter(chat => !chat.membership.archived && (chat.membership.notifications === 'all' ? chat.unread : chat.unreadMentions)).length;
  const received = requests.filter(({ to }) => to === me.userId).length;
  const waiting = invited.filter(({ to }) => to === me.userId).length;
  const items: [Route['page'], string, IconName, string, number][] = [
    ['chats', hrefs.chats, 'chats', t.nav.chats, unread],
    ['people', hrefs.people, 'people', t.nav.people, received],
    ['channels', hrefs.channels, 'channels', t.nav.channels, 0],
    ['activity', hrefs.activity, 'activity', t.nav.activity, waiting],
    ['settings', hrefs.settings, 'settings', t.nav.settings, 0],
  ];
  const page = route.page === 'room' || route.page === 'join' ? 'chats' : route.page;
  return (
    <nav className="navigation" aria-label={t.nav.label}>
      {items.map(([name, href, icon, label, count]) => (
        <a key={name} href={href} aria-current={name === page ? 'page' : undefined}>
          <span className="nav-icon"><Icon name={icon} size={24} /><Badge count={count} /></span>
          <span className="nav-label">{label}</span>
        </a>
      ))}
    </nav>
  );
}

function ConnectionBanner() {
  const c = useCoterie();
  const status = useStatus();
  if (status === 'open') return <div className="connection" role="status" />;
  return (
    <div className={`connection shown ${status}`} role="status">
      <span>{t.status[status]}</span>
      {status === 'elsewhere' && <Button kind="secondary" onClick={() => c.connect()}>{t.status.useHere}</Button>}
    </div>
  );
}
