// Fails when the package has something that it should not have, or lacks something that it names.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const [{ files, size }] = JSON.parse(execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { encoding: 'utf8' }));
const names = files.map(file => file.path);
const { exports, dependencies } = JSON.parse(readFileSync('package.json', 'utf8'));
const wrong = names.filter(name => !/^(package\.json|README\.md|dist\/(core|indexeddb|react|types)\/[a-z]+\.(js|d\.ts))$/.test(name));
const missing = Object.values(exports).flatMap(Object.values).filter(path => !names.includes(path.slice(2)));
for (const name of wrong) console.error(`The package has ${name}.`);
for (const path of missing) console.error(`The package lacks ${path}.`);
if (dependencies) console.error('The package has dependencies at run time.');
if (wrong.length || missing.length || dependencies || !names.includes('README.md')) process.exitCode = 1;
console.log(`npm pack: ${names.length} files, ${size} bytes`);
