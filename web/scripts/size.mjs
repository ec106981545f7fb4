// Fails when the page is larger than its budget: everything that a browser loads of it, gzipped.
import { readdirSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { fileURLToPath } from 'node:url';

const BUDGET = 120 * 1024;
const folder = fileURLToPath(new URL('../dist/', import.meta.url));
let all = 0;
for (const name of readdirSync(folder, { recursive: true })) {
  if (!/\.(html|js|css|svg|webmanifest)$/.test(name)) continue;
  const size = gzipSync(readFileSync(folder + name), { level: 9 }).length;
  all += size;
  console.log(`${name}: ${size} bytes gzipped`);
}
const fits = all <= BUDGET;
console.log(`all: ${all} bytes gzipped, of ${BUDGET}${fits ? '' : ': TOO LARGE'}`);
if (!fits) process.exitCode = 1;
