import { client } from './client.js';

let ended = false;
client.on('signedOut', () => {
  ended = true;
});

/** Whether somebody was signed in since the page was opened, and is not any more. */
export const sessionEnded = (): boolean => ended;
