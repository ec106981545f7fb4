/** Notifications of the browser, and the title of the page. */
import type { Message } from 'coterie';
import { t } from '../strings.js';
import { preview } from '../chats/preview.js';
import { client } from './client.js';
import { notify } from './preferences.js';
import { currentRoute, go, hrefs } from './router.js';

function isOpen(roomId: number): boolean {
  const route = currentRoute();
  return !document.hidden && document.hasFocus() && route.page === 'room' && route.roomId === roomId;
}

function show(title: string, body: string, tag: string, href: string): void {
  if (notify.snapshot() !== 'on' || !('Notification' in window) || Notification.permission !== 'granted') return;
  // All tabs show it with the same tag, so people see one.
  const notification = new Notification(title, { body, tag, icon: new URL('./favicon.svg', document.baseURI).href });
  notification.onclick = () => {
    window.focus();
    go(href);
    notification.close();
  };
}

function onMessage(message: Message): void {
  const { roomId, name, messageId, mentions, mentionsAll } = message;
  const chat = client.room(roomId).chat.snapshot();
  const me = client.user.snapshot();
  if (!chat || !me || isOpen(roomId)) return;
  const { notifications } = chat.membership;
  const named = mentionsAll || mentions.includes(me.userId);
  if (notifications === 'none' || (notifications === 'mentions' && !named)) return;
  const title = chat.room.kind === 'direct' ? name : `${name} · ${chat.room.name}`;
  show(title, preview(message), messageId, hrefs.message(messageId));
}

/** Notifies from now on. */
export function startNotifications(): void {
  // The list of chats, which says whether to notify, hears of the message at the same time.
  client.on('message', message => setTimeout(() => onMessage(message)));
  client.on('invitation', ({ room, invitationId }) => {
    show(t.notify.invitation(room.name), '', `invitation-${invitationId}`, hrefs.activityTab('invitations'));
  });
  client.on('friendRequest', ({ friendRequest: { id, from } }) => {
    if (from !== client.user.snapshot()?.userId) show(t.notify.friendRequest, from, `friend-${id}`, hrefs.peopleTab('requests'));
  });
  client.rooms.subscribe(rooms => {
    const counted = rooms.filter(({ membership }) => !membership.archived && membership.notifications !== 'none');
    document.title = t.title(counted.reduce((sum, { unread, unreadMentions, membership }) => sum + (membership.notifications === 'all' ? unread : unreadMentions), 0));
  });
}

/** Asks the browser. Returns whether it allows notifications. */
export async function allowNotifications(): Promise<boolean> {
  return (await Notification.requestPermission()) === 'granted';
}
