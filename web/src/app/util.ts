/** For what may fail without anything to be done about it. */
export const ignore = (): undefined => undefined;

export const classes = (...names: (string | false | null | undefined)[]): string => names.filter(Boolean).join(' ');

/** A size as people read it: "1.4 MB". */
export function bytes(size: number): string {
  for (const [unit, name] of [[1024 * 1024, 'MB'], [1024, 'KB']] as const) {
    if (size >= unit) return `${(size / unit).toFixed(size < 10 * unit ? 1 : 0)} ${name}`;
  }
  return `${size} B`;
}
