/** What was begun in a room and not sent, until the page is closed. */
const drafts = new Map<number, string>();

export const draftOf = (roomId: number): string => drafts.get(roomId) ?? '';
export function keepDraft(roomId: number, text: string): void {
  if (text.trim()) drafts.set(roomId, text);
  else drafts.delete(roomId);
}
