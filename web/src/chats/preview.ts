import type { Chat, Message } from 'coterie';
import { t } from '../strings.js';

type Previewed = Pick<Message, 'kind' | 'content' | 'deleted' | 'isEncrypted' | 'name'> & Partial<Pick<Message, 'attachment'>>;

/** A message in one line. */
export function preview({ kind, content, deleted, isEncrypted, name, attachment }: Previewed): string {
  if (deleted) return t.preview.deleted;
  if (kind === 'system') return t.system[content]?.(name) ?? content;
  if (isEncrypted) return t.preview.encrypted;
  if (kind === 'file') return content || attachment?.fileName || t.preview.file;
  return content.replace(/\s+/g, ' ');
}

/** A direct chat has the name of the other one. */
export const roomName = (room: Pick<Chat['room'], 'name'>, peer: { name: string } | null | undefined): string => peer?.name ?? room.name;
