import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'

import {
  atLeast,
  type Bench,
  type Contest,
  type Sample,
  type Scale,
  type Side,
} from './lib/bench.ts'
import { type Command, example, missing, program, run, serve, type Server } from './lib/child.ts'
import { PATIENCE_MS } from './lib/load.ts'
import { cpuSeconds } from './lib/process.ts'

const CONNECTIONS = 50
const VALUE_BYTES = 64
/** How many different keys there are. */
const KEYS = 100_000
const TESTS = ['SET', 'GET'] as const

/** Kept in memory only, as in the others. */
async function redisServer(deadlineMs: number): Promise<Server> {
  const port = await freePort()
  const args = ['--bind', '127.0.0.1', '--port', String(port), '--save', '', '--appendonly', 'no']
  return serve({ file: 'redis-server', args }, deadlineMs, {
    address: `127.0.0.1:${port}`,
    says: /Ready to accept connections/,
  })
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

function side(
  name: string,
  pipeline: number,
  start: (deadlineMs: number) => Promise<Server>,
  unavailable?: () => string | null,
): Side {
  const measured = {
    name,
    measure: async (scale: Scale) => {
      const server = await start(2 * PATIENCE_MS)
      try {
        await prove(server.address)
        return await measure(server, pipeline, scale)
      } finally {
        await server.stop()
      }
    },
  }
  return unavailable === undefined ? measured : { ...measured, unavailable }
}

const started =
  (command: () => Promise<Command>) =>
  async (deadlineMs: number): Promise<Server> =>
    serve(await command(), deadlineMs)

/** redis-benchmark counts whatever comes back as an answer; so it is seen first that it is one. */
async function prove(address: string): Promise<void> {
  const [host, port] = address.split(':')
  const socket = connect(Number(port), host)
  const fail = (): void => void socket.destroy(new Error('SET and GET were not answered in time'))
  const timer = setTimeout(fail, 10_000)
  try {
    socket.write(
      '*3\r\n$3\r\nSET\r\n$5\r\nbench\r\n$3\r\n\r\n!\r\n*2\r\n$3\r\nGET\r\n$5\r\nbench\r\n',
    )
    const expected = '+OK\r\n$3\r\n\r\n!\r\n'
    let answer = ''
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      answer += chunk.toString('latin1')
      if (answer.length >= expected.length) break
    }
    if (answer !== expected) throw new Error(`SET and GET brought ${JSON.stringify(answer)}`)
  } finally {
    clearTimeout(timer)
    socket.destroy()
  }
}

async function measure(server: Server, pipeline: number, scale: Scale): Promise<Sample> {
  const sample: Sample = {}
  for (const test of TESTS) {
    // A first run warms the server up, and tells how many requests fill the time.
    const some = (scale.short ? 2000 : 20_000) * pipeline
    const { perSecond } = await benchmark(server, test, pipeline, some)
    const requests = Math.max(some, Math.round(perSecond * (scale.short ? 0.3 : 2)))
    const before = cpuSeconds(server.pid)
    const result = await benchmark(server, test, pipeline, requests)
    sample[`${test}PerSecond`] = result.perSecond
    sample[`${test}Cpu`] = ((cpuSeconds(server.pid) - before) * 1e6) / requests
    sample[`${test}P99`] = result.p99Ms
  }
  return sample
}

async function benchmark(
  { address }: Server,
  test: string,
  pipeline: number,
  requests: number,
): Promise<{ perSecond: number; p99Ms: number }> {
  const [host, port] = address.split(':')
  const args = [
    ...['-h', host!, '-p', port!, '-t', test.toLowerCase(), '-n', String(requests)],
    ...['-c', String(CONNECTIONS), '-P', String(pipeline), '-d', String(VALUE_BYTES)],
    ...['-r', String(KEYS), '--csv'],
  ]
  // Quiet: that a server has no CONFIG would be told every time.
  const output = await run({ file: 'redis-benchmark', args, quiet: true }, PATIENCE_MS)
  // "test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"
  const line = output.split('\n').find((each) => each.startsWith(`"${test}"`))
  const cells = line?.split(',').map((cell) => Number(cell.replaceAll('"', ''))) ?? []
  const [, perSecond, , , , , p99Ms] = cells
  if (!(perSecond! > 0) || output.includes('Error')) {
    throw new Error(`redis-benchmark said:\n${output}`)
  }
  return { perSecond: perSecond!, p99Ms: p99Ms ?? NaN }
}

function contest(pipeline: number): Contest {
  return {
    name: `-P ${pipeline}`,
    sides: [
      side(
        'net',
        pipeline,
        started(() => program('servers/redis-net', '0')),
      ),
      side('redis', pipeline, redisServer, () => missing('redis-server', 'redis-server')),
      side(
        'auto',
        pipeline,
        started(() => example('redis', '0', 'auto')),
      ),
    ],
    figures: TESTS.flatMap((test) => [
      {
        title: test,
        metric: `${test}PerSecond`,
        unit: '/s' as const,
        side: 'auto',
        peer: 'net',
        target: atLeast(2),
      },
      {
        title: test,
        metric: `${test}PerSecond`,
        unit: '/s' as const,
        side: 'auto',
        peer: 'redis',
        target: atLeast(0.6),
      },
      {
        title: `CPU a ${test}`,
        metric: `${test}Cpu`,
        unit: 'µs' as const,
        side: 'auto',
        peer: 'net',
      },
      {
        title: `CPU a ${test}`,
        metric: `${test}Cpu`,
        unit: 'µs' as const,
        side: 'auto',
        peer: 'redis',
      },
    ]),
  }
}

/** examples/redis.ts against the same program on node:net, and against the real one. */
export const serverRedis: Bench = {
  name: 'server-redis',
  contests: [contest(1), contest(16)],
  unavailable: () => missing('redis-benchmark', 'redis-tools'),
}
