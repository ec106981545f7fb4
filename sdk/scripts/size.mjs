// Fails when a part is larger than its budget. It measures what a page gets: bundled, minified and gzipped.
import { gzipSync } from 'node:zlib';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const budgets = { core: 9, indexeddb: 2, react: 2 };
for (const [part, kilobytes] of Object.entries(budgets)) {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL(`../dist/${part}/index.js`, import.meta.url))],
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    external: ['react'],
    write: false,
  });
  const size = gzipSync(outputFiles[0].contents, { level: 9 }).length;
  const fits = size <= kilobytes * 1024;
  console.log(`${part}: ${size} bytes gzipped, of ${kilobytes * 1024}${fits ? '' : ': TOO LARGE'}`);
  if (!fits) process.exitCode = 1;
}
