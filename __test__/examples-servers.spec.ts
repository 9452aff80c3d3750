/** The examples that serve connections, used by clients that others wrote. */

import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { promisify } from 'node:util'

import test, { type ExecutionContext } from 'ava'
import { Redis } from 'ioredis'

import { within } from './support/deadline.ts'
import { drivers } from './support/drivers.ts'
import { onUnix } from './support/platform.ts'
import { needs, Program, typescript } from './support/program.ts'
import { returnsToSocat } from './support/socat.ts'

const run = promisify(execFile)

async function serve(t: ExecutionContext, name: string, ...args: string[]): Promise<ServedProgram> {
  const program = new Program(typescript(`examples/${name}.ts`, ...args))
  t.teardown(() => program.close())
  const [, port] = await program.says(/^listening on 127\.0\.0\.1:(\d+)/m)
  return { program, port: Number(port) }
}

interface ServedProgram {
  program: Program
  port: number
}

/** A client that remembers all that it hears. */
class Client {
  readonly socket: Socket
  #heard = ''

  constructor(t: ExecutionContext, port: number) {
    this.socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true })
    this.socket.setEncoding('utf8').on('data', (text: string) => (this.#heard += text))
    t.teardown(() => this.socket.destroy())
  }

  /** Waits for a text: all that came before it, and itself. */
  hears(text: string): Promise<string> {
    return within(`hearing ${text}`, async () => {
      while (!this.#heard.includes(text)) await once(this.socket, 'data')
      const end = this.#heard.indexOf(text) + text.length
      const heard = this.#heard.slice(0, end)
      this.#heard = this.#heard.slice(end)
      return heard
    })
  }
}

onUnix('echo answers, and ends when it is asked to', async (t) => {
  const { program, port } = await serve(t, 'echo', '127.0.0.1:0')
  const client = new Client(t, port)
  client.socket.write('hello')
  t.is(await client.hears('hello'), 'hello')
  client.socket.end()
  await within('its end', () => once(client.socket, 'end'))
  const { code, signal, stderr } = await program.end('SIGINT')
  t.deepEqual({ code, signal, stderr }, { code: 0, signal: null, stderr: '' })
})

needs('socat')('echo returns 100 MB to socat unchanged', async (t) => {
  const { port } = await serve(t, 'echo', '127.0.0.1:0')
  await returnsToSocat(t, port, 100)
})

onUnix('chat: every line goes to everybody else', async (t) => {
  const { program, port } = await serve(t, 'chat', '127.0.0.1:0')
  const [ada, bob] = [new Client(t, port), new Client(t, port)]
  ada.socket.write('Ada\n')
  await ada.hears('Welcome, Ada. ')
  bob.socket.write('Bob\r\n')
  await bob.hears('Welcome, Bob. 2 are here.\n')
  await ada.hears('Bob has come\n')
  ada.socket.write('hello\nin ')
  ada.socket.write('two\n')
  t.is(await bob.hears('Ada: in two\n'), 'Ada: hello\nAda: in two\n')
  bob.socket.end()
  await ada.hears('Bob has gone (end)\n')
  ada.socket.on('end', () => ada.socket.end())
  const { code, signal, stderr } = await program.end('SIGINT')
  await ada.hears('The chat ends.\n')
  t.deepEqual({ code, signal, stderr }, { code: 0, signal: null, stderr: '' })
})

for (const [way, serve] of [
  ['loops', /^3 loops serve 127\.0\.0\.1:\d+, and feed thread 0\n/],
  ['workers', /^3 workers serve 127\.0\.0\.1:\d+\n/],
] as const) {
  test.serial(`scale_out: ${way}`, async (t) => {
    const program = new Program(typescript('examples/scale_out.ts', way, '3'))
    t.teardown(() => program.close())
    const { code, stdout, stderr } = await program.ended()
    t.deepEqual({ code, stderr }, { code: 0, stderr: '' }, stdout)
    t.regex(stdout, serve)
    const answered = [...stdout.matchAll(/^thread \d+ answered (\d+) times$/gm)]
    t.is(answered.length, way === 'workers' ? 3 : 1)
    t.is(
      answered.reduce((sum, [, count]) => sum + Number(count), 0),
      64,
    )
  })
}

for (const driver of drivers) {
  test.serial(`redis: ioredis (${driver})`, async (t) => {
    const { port } = await serve(t, 'redis', '127.0.0.1:0', driver)
    const redis = new Redis({ port, host: '127.0.0.1', lazyConnect: true })
    t.teardown(() => redis.disconnect())
    await within('ioredis', async () => {
      t.is(await redis.ping(), 'PONG')
      t.is(await redis.set('key', 'value', 'PX', 600_000, 'NX'), 'OK')
      t.is(await redis.set('key', 'other', 'NX'), null)
      t.is(await redis.get('key'), 'value')
      t.true((await redis.pttl('key')) > 0)
      t.deepEqual(await redis.mset('a', '1', 'b', '2'), 'OK')
      t.deepEqual(await redis.mget('a', 'b', 'c'), ['1', '2', null])
      t.is(await redis.incrby('a', 41), 42)
      t.is(await redis.rpush('list', 'x', 'y', 'z'), 3)
      t.deepEqual(await redis.lrange('list', 0, -1), ['x', 'y', 'z'])
      t.is(await redis.sadd('set', 'x', 'x', 'y'), 2)
      t.is(await redis.hset('hash', 'field', 'value'), 1)
      t.is(await redis.hget('hash', 'field'), 'value')
      await t.throwsAsync(redis.incr('list'), { message: /^WRONGTYPE / })
      const pipeline = redis.pipeline()
      for (let index = 0; index < 10_000; index++) pipeline.set(`key ${index}`, index)
      for (let index = 0; index < 10_000; index++) pipeline.get(`key ${index}`)
      const results = (await pipeline.exec()) ?? []
      t.deepEqual(
        results.slice(10_000).map(([, value]) => Number(value)),
        results.slice(10_000).map((_, index) => index),
      )
      const large = Buffer.alloc(5_000_000, 'miolo')
      await redis.set('large', large)
      t.true(large.equals((await redis.getBuffer('large')) ?? Buffer.alloc(0)))
      // A key that expires does so by itself: to count them, none is looked for.
      const others = await redis.dbsize()
      t.is(await redis.set('short', 'life'), 'OK')
      t.is(await redis.dbsize(), others + 1)
      t.is(await redis.pexpire('short', 20), 1)
      while ((await redis.dbsize()) > others) await new Promise((wait) => setTimeout(wait, 5))
      t.is(await redis.get('short'), null)
      t.is(await redis.dbsize(), others)
    })
  })
}

needs('redis-cli')('redis: redis-cli', async (t) => {
  const { port } = await serve(t, 'redis', '127.0.0.1:0')
  const ask = async (command: string[], input?: string) => {
    const { stdout } = await within('redis-cli', () => {
      const asked = run('redis-cli', ['-p', String(port), ...command])
      if (input !== undefined) asked.child.stdin?.end(input)
      return asked
    })
    return stdout.trimEnd()
  }
  const cli = (...command: string[]) => ask(command)
  t.is(await cli('ping'), 'PONG')
  // In one process, since on a busy machine it takes its time to start another.
  t.is(await ask([], 'set key value EX 100\nttl key\n'), 'OK\n100')
  t.is(await cli('get', 'key'), 'value')
  t.is(await cli('echo', 'ä ö'), 'ä ö')
  t.regex(await cli('get'), /wrong number of arguments/)
  t.regex(await cli('info'), /redis_version:/)
})

needs('redis-benchmark')('redis: redis-benchmark', async (t) => {
  const { port } = await serve(t, 'redis', '127.0.0.1:0')
  const tests = ['ping', 'set', 'get', 'incr', 'lpush', 'rpush', 'sadd', 'hset', 'lrange', 'mset']
  for (const depth of ['1', '16']) {
    for (const name of tests) {
      const { stdout, stderr } = await within(`redis-benchmark of ${name}`, () =>
        run('redis-benchmark', [
          '-p',
          String(port),
          '-t',
          name,
          '-n',
          '2000',
          '-P',
          depth,
          '--csv',
        ]),
      )
      t.is(stderr, '')
      t.false(/error|WARN/i.test(stdout), stdout)
      // A line of titles, and one at least for each command.
      t.true(stdout.trim().split('\n').length >= 2, stdout)
    }
  }
})
