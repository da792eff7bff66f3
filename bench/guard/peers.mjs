// SPDX-License-Identifier: Apache-2.0
// What the peers need for a call, in nanoseconds of CPU time: the best of many slices. One line each: KEY PEER NANOS.
import Opossum from 'opossum';
import * as cockatiel from 'cockatiel';
import { RateLimiterMemory } from 'rate-limiter-flexible';

async function measure(key, peer, call, slice = 20000, slices = 25) {
  for (let i = 0; i < slice; i++) await call(); // warm
  let best = Infinity;
  for (let s = 0; s < slices; s++) {
    const before = process.cpuUsage();
    for (let i = 0; i < slice; i++) await call();
    const used = process.cpuUsage(before);
    best = Math.min(best, ((used.user + used.system) * 1000) / slice);
  }
  console.log(`${key} ${peer} ${best.toFixed(1)}`);
}

const good = async () => 1;
const bad = async () => {
  throw new Error('no');
};
const refused = async (call) => {
  try {
    await call();
  } catch {
    return;
  }
  throw new Error('was let through');
};

await measure('call', 'await', good); // what waiting for an async function costs without any guard

const closed = new Opossum(good, { timeout: false, rollingCountTimeout: 10000 });
await measure('breaker-closed', 'opossum', () => closed.fire());
const opened = new Opossum(bad, { timeout: false, resetTimeout: 3600000 });
opened.open();
await measure('breaker-open', 'opossum', () => refused(() => opened.fire()));

const policy = () =>
  cockatiel.circuitBreaker(cockatiel.handleAll, {
    halfOpenAfter: 3600000,
    breaker: new cockatiel.SamplingBreaker({ threshold: 0.5, duration: 10000 }),
  });
const breaker = policy();
await measure('breaker-closed', 'cockatiel', () => breaker.execute(good));
const broken = policy();
broken.isolate();
await measure('breaker-open', 'cockatiel', () => refused(() => broken.execute(good)));

const retry = cockatiel.retry(cockatiel.handleAll, { maxAttempts: 4, backoff: new cockatiel.ExponentialBackoff() });
await measure('retry', 'cockatiel', () => retry.execute(good));
const bulkhead = cockatiel.bulkhead(10, 10);
await measure('bulkhead', 'cockatiel', () => bulkhead.execute(good));

const limiter = new RateLimiterMemory({ points: 1e9, duration: 3600 });
await measure('rate-key', 'rate-limiter-flexible', () => limiter.consume('caller'));
process.exit(0);
