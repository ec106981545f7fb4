interface ImportMetaEnv {
  /** Where REST is, if not at the origin of the page. */
  readonly VITE_API_URL?: string;
  /** Where the WebSocket is, if not beside REST. */
  readonly VITE_WEBSOCKET_URL?: string;
}

declare module 'virtual:emoji' {
  /** Each group of emoji: a line for each one, with its name and keywords behind it. */
  const groups: string[];
  export default groups;
}
