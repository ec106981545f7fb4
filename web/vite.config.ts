import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';
import type { Plugin } from 'vite';

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));

export default defineConfig({
  plugins: [emoji()],
  resolve: {
    alias: [
      // The code is written for React's interface; Preact is the smaller of its implementations.
      { find: 'react/jsx-runtime', replacement: 'preact/jsx-runtime' },
      { find: /^react(-dom)?$/, replacement: 'preact/compat' },
      { find: 'coterie/react', replacement: path('../sdk/react/index.ts') },
      { find: 'coterie/indexeddb', replacement: path('../sdk/indexeddb/index.ts') },
      { find: 'coterie', replacement: path('../sdk/core/index.ts') },
    ],
    // Of the sources of the SDK, too, it is the one here.
    dedupe: ['preact'],
  },
  // Relative, so that a bucket may hold the page under a prefix.
  base: './',
  build: {
    target: 'es2022',
    // The policy of the page forbids `data:` and inline code.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // Those of what is bundled.
    license: { fileName: 'licenses.txt' },
    rolldownOptions: {
      // `"use client"` of libraries means something to servers of React alone.
      onLog: (level, log, next) => void (log.code === 'MODULE_LEVEL_DIRECTIVE' || next(level, log)),
    },
  },
  server: {
    // `npm run dev` beside a server: scripts/dev on its port, or COTERIE=http://localhost:3001.
    proxy: {
      '^/(api|auth|users|chats|groups|uploads|avatars|health|refresh-token)': process.env['COTERIE'] ?? 'http://localhost:3000',
      '^/\\?ticket=': { target: process.env['COTERIE'] ?? 'http://localhost:3000', ws: true },
    },
  },
});

/** `virtual:emoji`: the emoji of Unicode with their names and keywords, by group, from emojibase-data (MIT, Miles Johnson). */
function emoji(): Plugin {
  const id = 'virtual:emoji';
  return {
    name: 'emoji',
    resolveId: source => (source === id ? `\0${id}` : undefined),
    load(source) {
      if (source !== `\0${id}`) return undefined;
      interface Emoji { unicode: string; label: string; group?: number; order?: number; tags?: string[] }
      const all = JSON.parse(readFileSync(path('node_modules/emojibase-data/en/compact.json'), 'utf8')) as Emoji[];
      const groups = new Map<number, string[]>();
      for (const { unicode, label, group, tags = [] } of all.sort((a, b) => (a.order ?? 0) - (b.order ?? 0))) {
        // Group 2 are the parts that skin tones and hair are made of.
        if (group === undefined || group === 2) continue;
        const words = tags.filter(tag => !label.includes(tag)).slice(0, 3);
        groups.set(group, [...(groups.get(group) ?? []), [unicode, label, ...words].join(' ')]);
      }
      // One text is much smaller, and read faster, than a list of objects.
      return `export default ${JSON.stringify([...groups].sort(([a], [b]) => a - b).map(([, list]) => list.join('\n')))}`;
    },
  };
}
