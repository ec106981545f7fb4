import { useEffect, useState } from 'react';
import { useCoterie, useObservable } from 'coterie/react';
import type { Failure, Message } from 'coterie';
import { failureOf } from '../app/errors.js';
import { invitations } from '../app/lists.js';
import { useMe, usePerson } from '../app/people.js';
import { go, hrefs } from '../app/router.js';
import { dateAndTime } from '../app/time.js';
import { enteredRoom } from '../chats/dialogs.js';
import { roomName } from '../chats/preview.js';
import { MessageLinks } from '../room/Replies.js';
import { t } from '../strings.js';
import { Button } from '../ui/Button.js';
import { Icon } from '../ui/Icon.js';
import { attempt } from '../ui/overlays.js';
import { Empty, Failed, Spinner, Tabs } from '../ui/parts.js';

const tabs = ['mentions', 'invitations'] as const;
type Tab = (typeof tabs)[number];

export function ActivityPage({ tab }: { tab: string | undefined }) {
  const me = useMe();
  const invited = (useObservable(invitations).data ?? []).filter(({ to }) => to === me.userId).length;
  const current = tabs.find(name => name === tab) ?? (invited ? 'invitations' : 'mentions');
  return (
    <div className="page">
      <h1>{t.activity.title}</h1>
      <Tabs<Tab>
        label={t.activity.tabList}
        tabs={tabs.map(name => [name, t.activity.tabs[name], name === 'invitations' ? invited : 0] as const)}
        tab={current}
        onTab={name => go(hrefs.activityTab(name))}
      >
        {current === 'mentions' ? <Mentions /> : <Invitations />}
      </Tabs>
    </div>
  );
}

function Mentions() {
  const c = useCoterie();
  const [messages, setMessages] = useState<Message[]>();
  const [next, setNext] = useState<string | null>(null);
  const [asked, setAsked] = useState<{ after?: string; round: number }>({ round: 0 });
  const [failure, setFailure] = useState<Failure>();
  const rooms = useObservable(c.rooms);
  useEffect(() => {
    let isOver = false;
    const { after } = asked;
    c.api('get', '/api/mentions', { query: { limit: 50, ...(after ? { after } : {}) } }).then(
      page => {
        if (isOver) return;
        setFailure(undefined);
        setMessages(old => [...(after && old ? old : []), ...page.messages]);
        setNext(page.next);
      },
      (error: unknown) => !isOver && setFailure(failureOf(error)),
    );
    return () => {
      isOver = true;
    };
  }, [c, asked]);
  useEffect(() => c.on('message', ({ mentions }) => {
    if (mentions.includes(c.user.snapshot()?.userId ?? '')) setAsked(({ round }) => ({ round: round + 1 }));
  }), [c]);
  if (failure && !messages) return <Failed failure={failure} retry={() => setAsked({ round: asked.round + 1 })} />;
  if (!messages) return <Spinner />;
  if (!messages.length) return <Empty icon="at" title={t.activity.noMentions} hint={t.activity.noMentionsHint} />;
  const where = (roomId: number) => {
    const chat = rooms.find(({ chatId }) => chatId === roomId);
    return chat && roomName(chat.room, chat.peer);
  };
  return (
    <>
      <MessageLinks messages={messages} where={where} />
      {next && <Button kind="quiet" onClick={() => setAsked({ after: next, round: 0 })}>{t.people.more}</Button>}
    </>
  );
}

type Invitation = NonNullable<ReturnType<typeof invitations.snapshot>['data']>[number];

function Invitations() {
  const me = useMe();
  const { data, failure } = useObservable(invitations);
  if (failure && !data) return <Failed failure={failure} retry={() => void invitations.changed()} />;
  if (!data) return <Spinner />;
  if (!data.length) return <Empty icon="lock" title={t.activity.noInvitations} hint={t.activity.noInvitationsHint} />;
  const received = data.filter(({ to }) => to === me.userId);
  const sent = data.filter(({ from }) => from === me.userId);
  return (
    <>
      {received.length > 0 && <><h2>{t.activity.received}</h2><ul className="cards">{received.map(each => <Received key={each.invitationId} invitation={each} />)}</ul></>}
      {sent.length > 0 && <><h2>{t.activity.sent}</h2><ul className="cards">{sent.map(each => <Sent key={each.invitationId} invitation={each} />)}</ul></>}
    </>
  );
}

function Received({ invitation: { invitationId, roomName, from, expiresAt } }: { invitation: Invitation }) {
  const c = useCoterie();
  const person = usePerson(from);
  const path = { invitationId };
  const accept = () => attempt(async () => {
    enteredRoom(await c.api('post', '/api/invitations/{invitationId}/accept', { path }));
    await invitations.changed();
  });
  const decline = () => attempt(async () => {
    await c.api('post', '/api/invitations/{invitationId}/decline', { path });
    await invitations.changed();
  });
  return (
    <li className="card-row">
      <span className="avatar square size-44 hue-4" aria-hidden="true"><Icon name="lock" /></span>
      <span className="option-text"><span>{roomName}</span><span className="hint">{t.activity.invites(person.name)} · {t.activity.until(dateAndTime(expiresAt))}</span></span>
      <Button kind="primary" aria-label={`${t.activity.accept}: ${roomName}`} onClick={() => void accept()}>{t.activity.accept}</Button>
      <Button aria-label={`${t.activity.decline}: ${roomName}`} onClick={() => void decline()}>{t.activity.decline}</Button>
    </li>
  );
}

function Sent({ invitation: { invitationId, roomId, roomName, to, expiresAt } }: { invitation: Invitation }) {
  const c = useCoterie();
  const person = usePerson(to);
  const revoke = () => attempt(async () => {
    await c.api('delete', '/api/invitations/{invitationId}', { path: { invitationId } });
    await invitations.changed();
  });
  return (
    <li className="card-row">
      <button type="button" className="card-person" onClick={() => go(hrefs.room(roomId))}>
        <span className="avatar square size-44 hue-4" aria-hidden="true"><Icon name="lock" /></span>
        <span className="option-text"><span>{roomName}</span><span className="hint">{t.activity.invitee(person.name)} · {t.activity.until(dateAndTime(expiresAt))}</span></span>
      </button>
      <Button aria-label={`${t.activity.revoke}: ${person.name}`} onClick={() => void revoke()}>{t.activity.revoke}</Button>
    </li>
  );
}
