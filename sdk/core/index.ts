/** The client of Coterie. */
export { createCoterie } from './client.js';
export type { Coterie, CoterieOptions, Happenings } from './client.js';
export { isCoterieError } from './errors.js';
export type { CoterieError, Failure } from './errors.js';
export type { Observable } from './observable.js';
export type { Persist } from './persist.js';
export type { Platform } from './platform.js';
export type { Messages, Room, SendOptions, Shown, Typing } from './room.js';
export { localSession, memorySession } from './session.js';
export type { Session, SessionStore } from './session.js';
export type { Status } from './socket.js';
export type * from '../types/index.js';
