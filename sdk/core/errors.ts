import type { FieldError, Problem } from '../types/index.js';

/** Members that only some codes have, or that those codes always have. */
interface Members {
  invalid_request: { errors: FieldError[] };
  not_addable: { errors: FieldError[] };
  insufficient_coins: { required: number; available: number };
  user_exists: { field: 'userId' | 'username' | 'email' | 'phone' };
  rate_limited: { retryAfter: number };
  overloaded: { retryAfter?: number };
  database_unavailable: { retryAfter?: number };
  store_unavailable: { retryAfter?: number };
  internal: { requestId: string };
}

type Of<C extends string> = { code: C; status: number; detail: string } & (C extends keyof Members ? Members[C] : unknown);
type Union<C extends string> = C extends string ? Of<C> : never;

/**
 * Why something failed. `code` tells which: `switch (failure.code)` narrows to the members of that code. Besides the
 * codes of the service there are
 * - `network`: no connection, or no answer;
 * - `gateway`: an answer that is not the service's, such as a 502 of a proxy.
 */
export type Failure = Union<Problem['code']> | (Of<'gateway'> & { retryAfter?: number }) | Of<'network'>;

const NAME = 'CoterieError';

/** What is thrown: an `Error` that is a `Failure` too. */
export type CoterieError = Error & Failure;

/** Whether something that was caught came from Coterie. */
export function isCoterieError(error: unknown): error is CoterieError {
  return (error as Error | undefined)?.name === NAME;
}

export function failed(failure: Failure): CoterieError {
  return Object.assign(new Error(failure.detail), failure, { name: NAME });
}

export const network = (): CoterieError => failed({ code: 'network', status: 0, detail: 'No connection, or no answer.' });

/** What can be stored and sent to another tab. */
export function failureOf(error: unknown): Failure {
  if (!isCoterieError(error)) return { code: 'network', status: 0, detail: String(error) };
  return { ...error };
}

/** Whether the same again may succeed: nothing was done, or it is unknown whether it was. */
export const isPassing = (f: Failure): boolean => f.code === 'network' || f.status === 429 || f.status >= 500;

/** How many milliseconds to wait before try number `n` (from 0): what the service asked for, or else a growing random time. */
export function delay(n: number, failure?: Failure): number {
  const { retryAfter } = (failure ?? {}) as { retryAfter?: number };
  return retryAfter ? retryAfter * 1000 + Math.random() * 250 : Math.min(30_000, 500 * 2 ** n) * (0.5 + Math.random() / 2);
}

/** For what may fail without anything to be done about it: it is done again later, or somebody else was told. */
export const ignore = (): undefined => undefined;

export const isSignedOut = (error: unknown): boolean => failureOf(error).code === 'unauthenticated';
