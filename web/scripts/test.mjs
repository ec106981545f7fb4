// Builds the tests of a folder and runs them: `node scripts/test.mjs unit [OPTION OF node --test…]`.
import { spawnSync } from 'node:child_process';
import { readdirSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const [kind, ...options] = process.argv.slice(2);
const path = name => fileURLToPath(new URL(`../${name}`, import.meta.url));
const files = readdirSync(path(`tests/${kind}`)).filter(name => name.endsWith('.test.ts'));
rmSync(path(`build/${kind}`), { recursive: true, force: true });
await build({
  entryPoints: files.map(name => path(`tests/${kind}/${name}`)),
  outdir: path(`build/${kind}`),
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  external: ['playwright-core', 'mysql2', 'axe-core'],
  alias: { react: 'preact/compat' },
  sourcemap: 'inline',
});
const tests = files.map(name => path(`build/${kind}/${name.replace(/\.ts$/, '.js')}`));
const { status } = spawnSync(process.execPath, ['--enable-source-maps', '--test', ...options, ...tests], { stdio: 'inherit' });
process.exitCode = status ?? 1;
