// SPDX-License-Identifier: Apache-2.0
// json-rules-engine behind Node's own HTTP server, a process a processor: the same ten rules. Prints its port.
import cluster from 'node:cluster';
import http from 'node:http';
import { availableParallelism } from 'node:os';
import { Engine } from 'json-rules-engine';

if (cluster.isPrimary) {
  let told = false;
  for (let i = 0; i < availableParallelism(); i++) cluster.fork();
  cluster.on('listening', (worker, address) => { if (!told) console.log(address.port); told = true; });
  process.stdin.on('end', () => process.exit(0)).resume();
} else {
  const engine = new Engine([], { allowUndefinedFacts: true });
  for (let i = 0; i < 10; i++) {
    engine.addRule({ conditions: { all: [{ fact: 'amount', operator: 'greaterThan', value: i * 1000 },
                                         { fact: 'tier', operator: 'equal', value: 'gold' }] },
                     event: { type: `hit${i}` } });
  }
  http.createServer((request, response) => {
    const pieces = [];
    request.on('data', piece => pieces.push(piece));
    request.on('end', async () => {
      const decisions = [];
      for (const fact of JSON.parse(Buffer.concat(pieces)).facts)
        for (const event of (await engine.run(fact)).events) decisions.push({ decision: event.type, fields: { id: fact.id } });
      response.setHeader('Content-Type', 'application/json');
      response.end(JSON.stringify({ decisions }));
    });
  }).listen(0, '127.0.0.1');
}
