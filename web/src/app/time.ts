/** Times as people read them, in the language and the zone of their device. */
import { t } from '../strings.js';

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const weekday = new Intl.DateTimeFormat('en', { weekday: 'long' });
const dayAndMonth = new Intl.DateTimeFormat('en', { day: 'numeric', month: 'long' });
const fullDay = new Intl.DateTimeFormat('en', { day: 'numeric', month: 'long', year: 'numeric' });
const whole = new Intl.DateTimeFormat('en', { dateStyle: 'full', timeStyle: 'short' });

const midnight = (date: Date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
const daysAgo = (date: Date, now: Date) => Math.round((midnight(now) - midnight(date)) / 86_400_000);

export const time = (iso: string): string => clock.format(new Date(iso));
export const dateAndTime = (iso: string): string => whole.format(new Date(iso));

/** The heading of a day in a history: "Today", "Monday", "3 May". */
export function day(iso: string, now = new Date()): string {
  const date = new Date(iso);
  const ago = daysAgo(date, now);
  if (ago <= 0) return t.time.today;
  if (ago === 1) return t.time.yesterday;
  if (ago < 7) return weekday.format(date);
  return (date.getFullYear() === now.getFullYear() ? dayAndMonth : fullDay).format(date);
}

/** As short as it can be, for a list: the time of today's, otherwise the day. */
export function short(iso: string, now = new Date()): string {
  return daysAgo(new Date(iso), now) <= 0 ? time(iso) : day(iso, now);
}

/** How long ago: "5 minutes ago". */
export function ago(iso: string, now = new Date()): string {
  const seconds = Math.max(0, (now.getTime() - new Date(iso).getTime()) / 1000);
  return seconds < 60 ? t.time.now : t.time.ago(duration(seconds));
}

/** A number of seconds in the largest unit that fits. */
export function duration(seconds: number): string {
  for (const [size, unit] of [[86_400, t.time.days], [3600, t.time.hours], [60, t.time.minutes]] as const) {
    if (seconds >= size) return unit(Math.round(seconds / size));
  }
  return t.time.seconds(Math.max(1, Math.ceil(seconds)));
}
