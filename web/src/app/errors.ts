/** What people are told when something fails, and what they can do. */
import { isCoterieError } from 'coterie';
import type { Failure } from 'coterie';
import { t } from '../strings.js';
import { duration } from './time.js';

export function failureOf(error: unknown): Failure {
  if (isCoterieError(error)) return error;
  console.error(error);
  return { code: 'network', status: 0, detail: String(error) };
}

/** One or two sentences about a failure. */
export function explain(failure: Failure): string {
  switch (failure.code) {
    case 'rate_limited':
      return t.errors.rate_limited(duration(failure.retryAfter));
    case 'slow_mode':
    case 'friend_request_rejected': {
      const { retryAfter } = failure as { retryAfter?: number };
      return t.errors[failure.code](duration(retryAfter ?? 0));
    }
    case 'insufficient_coins':
      return t.errors.insufficient_coins(failure.required, failure.available);
    case 'user_exists':
      return t.errors.user_exists(t.fields[failure.field]);
    case 'invalid_request':
    case 'not_addable':
      return failure.errors.map(({ field, message }) => `${(t.fields as Record<string, string>)[field] ?? field}: ${message}.`).join(' ') || failure.detail;
    case 'internal':
      return t.errors.internal(failure.requestId);
    default:
      return (t.errors.plain as Record<string, string>)[failure.code] ?? failure.detail;
  }
}

/** What is wrong with each field of a form. */
export function fieldErrors(failure: Failure | undefined): Record<string, string> {
  if (failure?.code === 'user_exists') return { [failure.field]: explain(failure) };
  if (failure?.code !== 'invalid_request') return {};
  return Object.fromEntries(failure.errors.map(({ field, message }) => [field, `${message.charAt(0).toUpperCase()}${message.slice(1)}.`]));
}
