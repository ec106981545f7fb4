import { useState } from 'react';
import { useObservable } from 'coterie/react';
import { friendRequests, friends } from '../app/lists.js';
import { useMe, usePerson } from '../app/people.js';
import { go, hrefs } from '../app/router.js';
import { ago } from '../app/time.js';
import { t } from '../strings.js';
import { PersonAvatar } from '../ui/Avatar.js';
import { Button } from '../ui/Button.js';
import { Icon } from '../ui/Icon.js';
import { Empty, Failed, Spinner, Tabs } from '../ui/parts.js';
import { useSearch } from './Picker.js';
import { FriendButtons, showProfile } from './profile.js';

const tabs = ['friends', 'requests', 'find'] as const;
type Tab = (typeof tabs)[number];

export function PeoplePage({ tab }: { tab: string | undefined }) {
  const me = useMe();
  const requests = useObservable(friendRequests).data ?? [];
  const current = tabs.find(name => name === tab) ?? 'friends';
  const received = requests.filter(({ to }) => to === me.userId).length;
  return (
    <div className="page">
      <h1>{t.people.title}</h1>
      <Tabs<Tab>
        label={t.people.tabList}
        tabs={tabs.map(name => [name, t.people.tabs[name], name === 'requests' ? received : 0] as const)}
        tab={current}
        onTab={name => go(hrefs.peopleTab(name))}
      >
        {current === 'friends' ? <Friends /> : current === 'requests' ? <Requests /> : <Find />}
      </Tabs>
    </div>
  );
}

/** A person in a list, with what there is to do about them. */
function PersonRow({ userId, name, friendly }: { userId: string; name?: string; friendly?: boolean }) {
  const person = usePerson(userId, name);
  return (
    <li className="card-row">
      <button type="button" className="card-person" onClick={() => showProfile(userId)}>
        <PersonAvatar userId={userId} name={name} size={44} />
        <span className="option-text">
          <span>{person.name}</span>
          <span className="hint">{person.online ? t.room.online : person.lastSeenAt ? t.room.lastSeen(ago(person.lastSeenAt)) : (person.username ?? userId)}</span>
        </span>
      </button>
      {friendly ? <Button icon="user" kind="quiet" onClick={() => showProfile(userId)}>{t.people.profile}</Button> : <FriendButtons person={person} />}
    </li>
  );
}

function Friends() {
  const { data, failure } = useObservable(friends);
  if (failure && !data) return <Failed failure={failure} retry={() => void friends.changed()} />;
  if (!data) return <Spinner />;
  if (!data.length) {
    return (
      <Empty icon="people" title={t.people.noFriends} hint={t.people.noFriendsHint}>
        <Button kind="primary" icon="search" onClick={() => go(hrefs.peopleTab('find'))}>{t.people.tabs.find}</Button>
      </Empty>
    );
  }
  return <ul className="cards">{data.map(({ userId, name }) => <PersonRow key={userId} userId={userId} name={name} friendly />)}</ul>;
}

function Requests() {
  const me = useMe();
  const { data, failure } = useObservable(friendRequests);
  if (failure && !data) return <Failed failure={failure} retry={() => void friendRequests.changed()} />;
  if (!data) return <Spinner />;
  if (!data.length) return <Empty icon="people" title={t.people.noRequests} hint={t.people.noRequestsHint} />;
  const received = data.filter(({ to }) => to === me.userId);
  const sent = data.filter(({ from }) => from === me.userId);
  return (
    <>
      {received.length > 0 && <><h2>{t.people.received}</h2><ul className="cards">{received.map(({ id, from }) => <PersonRow key={id} userId={from} />)}</ul></>}
      {sent.length > 0 && <><h2>{t.people.sent}</h2><ul className="cards">{sent.map(({ id, to }) => <PersonRow key={id} userId={to} />)}</ul></>}
    </>
  );
}

function Find() {
  const [text, setText] = useState('');
  const { people, failure, more, retry } = useSearch(text);
  return (
    <>
      <div className="search">
        <Icon name="search" size={18} />
        <input type="search" value={text} maxLength={100} placeholder={t.people.find} aria-label={t.people.find} autoFocus onChange={event => setText(event.currentTarget.value)} />
      </div>
      {failure && <Failed failure={failure} retry={retry} />}
      {!people && !failure && <Spinner />}
      {people?.length === 0 && <Empty icon="search" title={t.people.findEmpty} hint={t.people.findEmptyHint} />}
      {people && people.length > 0 && <ul className="cards">{people.map(({ userId, name }) => <PersonRow key={userId} userId={userId} name={name} />)}</ul>}
      {more && <Button kind="quiet" onClick={more}>{t.people.more}</Button>}
    </>
  );
}
