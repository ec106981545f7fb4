/** Friends, requests and invitations of the user. */
import { client } from './client.js';
import { learn } from './people.js';
import { Resource } from './store.js';

export const friends = new Resource(async () => {
  const { friends } = await client.api('get', '/api/friends');
  learn(...friends);
  return friends;
}, ['friendRequestAnswered']);

/** Those that wait for an answer, sent and received. */
export const friendRequests = new Resource(async () => {
  const { friendRequests } = await client.api('get', '/api/friend-requests');
  const pending = friendRequests.filter(({ status }) => status === 'pending');
  const me = client.user.snapshot()?.userId;
  for (const { from, to } of pending) learn(from === me ? { userId: to, friendship: 'requestSent' } : { userId: from, friendship: 'requestReceived' });
  return pending;
}, ['friendRequest', 'friendRequestAnswered', 'friendRequestWithdrawn']);

/** Those that can be used, sent and received. */
export const invitations = new Resource(async () => {
  const { invitations } = await client.api('get', '/api/invitations');
  return invitations.filter(({ status }) => status === 'pending');
}, ['invitation', 'userJoined', 'roomDeleted']);
