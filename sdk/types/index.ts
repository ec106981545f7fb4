/** The types of the service under short names. The two generated files beside this one hold them all. */
import type { components, paths } from './openapi.js';
import type { components as frames } from './frames.js';

export type { components, paths };
type S = components['schemas'];

export type Message = S['Message'];
export type Reaction = S['Reaction'];
export type Attachment = S['Attachment'];
export type Room = S['Room'];
export type Chat = S['Chat'];
export type Member = S['Member'];
export type OwnProfile = S['OwnProfile'];
export type Profile = S['Profile'];
export type Problem = S['Problem'];
export type FieldError = S['FieldError'];
export type Registration = S['Registration'];
export type Changes = S['Changes'];
export type History = S['History'];

type P = frames['schemas']['Pushes'];
/** The `data` of each push, by its event. */
export type Pushes = { [K in keyof P as P[K]['event']]: P[K]['data'] };
type E = frames['schemas']['Events'];
/** The `data` of each event that a client sends. */
export type Events = { [K in keyof E as E[K]['event']]: E[K] extends { data: infer D } ? D : undefined };

/** What an act that takes a number in a room answers, and what its push says. */
export interface Change {
  roomId: number;
  seq: number;
  message: Message;
}

type Json<T> = T extends { content: { 'application/json': infer B } } ? B : never;
/** The methods of a path of the REST API. */
export type Method<P extends keyof paths> = {
  [M in keyof paths[P]]: M extends 'get' | 'post' | 'put' | 'patch' | 'delete'
    ? paths[P][M] extends { responses: unknown } ? M : never
    : never;
}[keyof paths[P]];
/** The JSON that a route answers when it succeeds; `undefined` for 204. */
export type Answer<O> = O extends { responses: infer R }
  ? { [C in keyof R]: C extends 200 | 201 ? Json<R[C]> : C extends 204 ? undefined : never }[keyof R]
  : never;
type Body<O> = O extends { requestBody: infer B } ? { body: Json<B> }
  : O extends { requestBody?: infer B } ? { body?: Json<NonNullable<B>> } : { body?: undefined };
type Path<O> = O extends { parameters: { path: infer V } } ? { path: V } : { path?: undefined };
type Query<O> = O extends { parameters: { query?: infer V } } ? { query?: V } : { query?: undefined };
/** What a route takes. */
export type Options<O> = Body<O> & Path<O> & Query<O>;
