import type { Coterie } from 'coterie';

/** Sends a picture that becomes an avatar. */
export async function uploadAvatar(c: Coterie, path: '/api/profile/avatar' | `/api/rooms/${number}/avatar`, file: File): Promise<void> {
  const form = new FormData();
  form.append('file', file);
  // The types of the SDK know JSON alone; it sends a form as it is.
  const client = c as unknown as { api(method: 'put', path: string, options: { body: FormData }): Promise<unknown> };
  await client.api('put', path, { body: form });
}
