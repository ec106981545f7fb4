// Reads the documents with the parsers that generators of clients use, and fails when one of them complains.
import SwaggerParser from '@apidevtools/swagger-parser';
import { Parser } from '@asyncapi/parser';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const faults = [];

const openapi = await SwaggerParser.dereference(fileURLToPath(new URL('../openapi.yaml', import.meta.url)));
// The parser refuses every variable of a server, against its own schema of OpenAPI 3.1.
for (const server of openapi.servers) delete server.variables;
await SwaggerParser.validate(openapi).catch(error => faults.push(`openapi.yaml: ${error.message}`));

const source = fileURLToPath(new URL('../asyncapi.yaml', import.meta.url));
const { document, diagnostics } = await new Parser().parse(await readFile(source, 'utf8'), { source });
for (const { code, message, path } of diagnostics) {
  // 3.0 has all that is needed, and more tools read it.
  if (code !== 'asyncapi-latest-version') faults.push(`asyncapi.yaml: ${path.join('.')}: ${message}`);
}
// Generators give what has no name a number.
for (const message of document?.allMessages() ?? []) {
  if (!message.name() || !message.title()) faults.push(`asyncapi.yaml: ${message.id()} has no name or title`);
}
for (const schema of document?.allSchemas() ?? []) {
  // A condition of another schema is no model.
  const isModel = schema.type() === 'object' && (schema.properties() || schema.additionalProperties() === false);
  if (isModel && !schema.title()) faults.push(`asyncapi.yaml: ${schema.jsonPath() ?? schema.id()} has no title`);
}

for (const fault of faults) console.error(fault);
process.exitCode = faults.length && 1;
