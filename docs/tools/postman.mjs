// Sends every request of the Postman collection, in its order, to the server at BASE_URL (http://localhost:3000), and
// fails when a test of the collection does.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import newman from 'newman';

const file = name => fileURLToPath(new URL(`../postman/${name}`, import.meta.url));
// What people choose in Postman: an image of one pixel, and a document.
const folder = await mkdtemp(join(tmpdir(), 'coterie-postman-'));
const png = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
await writeFile(join(folder, 'avatar.png'), Buffer.from(png, 'base64'));
await writeFile(join(folder, 'hello.pdf'), '%PDF-1.7\nHello\n%%EOF\n');

newman.run(
  {
    collection: file('coterie.postman_collection.json'),
    environment: file('local.postman_environment.json'),
    envVar: [{ key: 'baseUrl', value: process.env.BASE_URL ?? 'http://localhost:3000' }],
    workingDir: folder,
    reporters: 'cli',
    reporter: { cli: { silent: !process.argv.includes('--verbose') } },
  },
  async (error, summary) => {
    await rm(folder, { recursive: true });
    const failures = summary?.run.failures ?? [];
    for (const { source, error: { name, message } } of failures) console.error(`${source?.name}: ${name}: ${message}`);
    const { requests, assertions } = summary?.run.stats ?? {};
    console.log(`${requests?.total} requests, ${assertions?.total} tests, ${failures.length} failed`);
    process.exitCode = error || failures.length ? 1 : 0;
  },
);
