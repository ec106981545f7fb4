import { usePerson } from '../app/people.js';
import { pictureUrl } from '../app/client.js';
import type { Chat } from 'coterie';
import { Icon } from './Icon.js';

/** A color of eight, always the same one for the same text. */
function hue(text: string): number {
  let sum = 0;
  for (const char of text) sum = (sum * 31 + char.codePointAt(0)!) % 1009;
  return sum % 8;
}

const segments = new Intl.Segmenter();
const first = (word: string) => segments.segment(word)[Symbol.iterator]().next().value?.segment ?? '';

function initials(name: string): string {
  const words = name.trim().split(/\s+/);
  return `${first(words[0] ?? '')}${words.length > 1 ? first(words.at(-1)!) : ''}`.toUpperCase();
}

interface Props {
  id: string;
  name: string;
  src?: string | undefined;
  size?: number;
  online?: boolean | undefined;
  round?: boolean;
}

/** A picture, or the initials. It is decoration: the name stands beside it. */
export function Avatar({ id, name, src, size = 40, online, round = true }: Props) {
  return (
    <span className={`avatar size-${size}${round ? '' : ' square'} hue-${hue(id)}`} aria-hidden="true">
      {src ? <img src={src} alt="" width={size} height={size} loading="lazy" /> : initials(name)}
      {online && <span className="online" />}
    </span>
  );
}

export function PersonAvatar({ userId, name, size, presence = true }: { userId: string; name?: string; size?: number; presence?: boolean }) {
  const person = usePerson(userId, name);
  return <Avatar id={userId} name={person.name} src={pictureUrl(person.avatarUrl)} size={size} online={presence && person.online} />;
}

export function RoomAvatar({ room, size }: { room: Chat['room']; size?: number }) {
  if (!room.avatarUrl && room.kind !== 'group') {
    return (
      <span className={`avatar square size-${size ?? 40} hue-${hue(`room${room.id}`)}`} aria-hidden="true">
        <Icon name={room.kind === 'channel' ? 'channels' : 'lock'} size={(size ?? 40) / 2} />
      </span>
    );
  }
  return <Avatar id={`room${room.id}`} name={room.name} src={pictureUrl(room.avatarUrl)} size={size} round={false} />;
}
