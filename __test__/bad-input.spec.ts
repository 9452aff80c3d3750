/** Bad input to every public function: a clear, typed error, and a loop that goes on unharmed. */

import { isIPv4 } from 'node:net'
import { types } from 'node:util'

import test, { type ExecutionContext } from 'ava'
import fc from 'fast-check'
import {
  connect,
  EventLoop,
  EventSet,
  LoopError,
  NotifyError,
  PollOpt,
  Sender,
  type SharedSender,
  TcpListener,
  TcpServer,
  TcpStream,
} from 'miolo'

import { drivers, eachDriver, type Stage } from './support/drivers.ts'
import { throwsCode } from './support/errors.ts'
import { type Inside, inside } from './support/memory.ts'
import { listen, pair } from './support/sockets.ts'

const symbol = Symbol('s')
/** Throws whatever is done with it. */
const hostile = new Proxy(
  {},
  {
    get() {
      throw new EvalError('hostile')
    },
    getPrototypeOf() {
      throw new EvalError('hostile')
    },
  },
)
const revoked = (() => {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
})()

/** One of everything, less what is fine. */
const everything: unknown[] = [
  undefined,
  null,
  true,
  false,
  0,
  -0,
  1,
  -1,
  1.5,
  NaN,
  Infinity,
  -Infinity,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  2 ** 53 + 2,
  1e300,
  5e-324,
  '',
  '0',
  '127.0.0.1:0',
  'x'.repeat(10_000),
  '\0',
  0n,
  symbol,
  {},
  [],
  [1],
  () => {},
  class {},
  new Date(),
  /x/,
  new Map(),
  new Uint8Array(0),
  new Int32Array(4),
  new SharedArrayBuffer(8),
  new Proxy({}, {}),
  hostile,
  revoked,
  Object.create(null),
  new Number(1),
  new Error('x'),
  Promise.resolve(),
  EventSet,
  EventSet.readable(),
  PollOpt.edge(),
  Object.create(EventSet.prototype),
  Object.create(PollOpt.prototype),
  Object.create(EventLoop.prototype),
  Object.create(Sender.prototype),
  Object.create(TcpStream.prototype),
  Object.create(TcpListener.prototype),
  Object.assign(Object.create(EventSet.prototype), { bits: -1 }),
  Object.assign(Object.create(PollOpt.prototype), { bits: 2 ** 40 }),
]

/** Messages and timeouts still come, in order. */
async function isUnharmed(t: ExecutionContext, loop: EventLoop<unknown, unknown>) {
  const seen: unknown[] = []
  loop.timeoutMs('timeout', 1)
  loop.channel().send('message')
  await loop.run({
    notify: (_, message) => void seen.push(message),
    timeout: (_, timeout) => void seen.push(timeout),
    tick: (loop) => {
      if (seen.length === 2) loop.shutdown()
    },
  })
  t.deepEqual(seen, ['message', 'timeout'])
}

/** Calls with each value; what it throws must be one of ours, or the value's own doing. */
function refuses(
  t: ExecutionContext,
  what: string,
  values: unknown[],
  call: (value: unknown) => unknown,
) {
  for (const value of values) {
    let thrown: unknown
    try {
      call(value)
      t.fail(`${what} takes ${typeof value} ${describe(value)}`)
      continue
    } catch (error) {
      thrown = error
    }
    isTyped(t, `${what} of ${describe(value)}`, value, thrown)
  }
}

function isTyped(t: ExecutionContext, what: string, value: unknown, thrown: unknown) {
  const { code, name, message } = thrown as NodeJS.ErrnoException
  if (
    (value === hostile && thrown instanceof EvalError) ||
    (value === revoked && name === 'TypeError')
  ) {
    t.pass()
    return
  }
  const expected = /^ERR_(INVALID_ARG_TYPE|INVALID_ARG_VALUE|OUT_OF_RANGE)$/
  t.true(thrown instanceof TypeError || thrown instanceof RangeError, `${what}: ${name} ${message}`)
  t.regex(String(code), expected, `${what}: ${name} ${message}`)
}

function describe(value: unknown): string {
  try {
    return typeof value === 'object' ? JSON.stringify(value) : String(value)
  } catch {
    return typeof value
  }
}

const isNumber = (value: unknown): value is number => typeof value === 'number'
const without = (isFine: (value: unknown) => boolean) =>
  everything.filter((value) => !isFine(value))

eachDriver('run, runOnce and runSync', async (t, { open }) => {
  const loop = open()
  const refused = without(
    (value) =>
      typeof value === 'object' && value !== null && value !== hostile && value !== revoked,
  )
  for (const method of ['run', 'runOnce', 'runSync'] as const) {
    refuses(t, method, refused, (handler) => loop[method](handler as never))
    for (const name of ['ready', 'notify', 'timeout', 'interrupted', 'tick']) {
      const notFunctions = without((value) => typeof value === 'function' || value === undefined)
      refuses(t, `${method} with ${name}`, notFunctions, (callback) =>
        loop[method]({ [name]: callback } as never),
      )
    }
  }
  const limits = without(
    (value) => value === undefined || (isNumber(value) && value >= 0 && value < 2 ** 31),
  )
  refuses(t, 'runOnce', limits, (limit) => loop.runOnce({}, limit as number))
  await isUnharmed(t, loop)
})

eachDriver('timeoutMs and clearTimeout', async (t, { open }) => {
  const loop = open()
  const delays = without((value) => isNumber(value) && value >= 0 && value <= 2 ** 53)
  refuses(t, 'timeoutMs', delays, (delay) => loop.timeoutMs('never', delay as number))
  const handles = without(isNumber)
  refuses(t, 'clearTimeout', handles, (handle) => loop.clearTimeout(handle as never))
  for (const number of everything.filter(isNumber)) t.false(loop.clearTimeout(number as never))
  await isUnharmed(t, loop)
})

eachDriver('any number is a handle of no timeout', async (t, { open }) => {
  const loop = open<string>({ timerCapacity: 8 })
  const real = new Set<number>([1, 2, 3].map(() => loop.timeoutMs('stays', 1_000_000)))
  const number = fc.oneof(
    fc.double(),
    fc.integer(),
    fc.maxSafeInteger(),
    fc
      .tuple(fc.integer({ min: -4, max: 2 ** 29 }), fc.integer({ min: -2, max: 9 }))
      .map(([generation, slot]) => generation * 2 ** 24 + slot),
    fc.constantFrom(...[...real].flatMap((handle) => [handle + 0.5, -handle, handle + 2 ** 24])),
  )
  fc.assert(
    fc.property(number, (handle) => real.has(handle) || !loop.clearTimeout(handle as never)),
    { numRuns: 2000 },
  )
  for (const handle of real) t.true(loop.clearTimeout(handle as never))
})

eachDriver('register and reregister', async (t, stage) => {
  const loop = stage.open()
  const { client, server } = await pair(stage)
  const [readable, edge] = [EventSet.readable(), PollOpt.edge()]
  loop.register(server, 1, readable, edge)
  for (const method of ['register', 'reregister'] as const) {
    const source = method === 'register' ? client : server
    refuses(t, method, everything, (value) => loop[method](value as never, 1, readable, edge))
    const tokens = without((value) => Number.isSafeInteger(value) && (value as number) >= 0)
    refuses(t, method, tokens, (token) => loop[method](source, token as number, readable, edge))
    const interests = without((value) => value === EventSet.readable())
    refuses(t, method, interests, (value) => loop[method](source, 1, value as never, edge))
    const options = without((value) => value === PollOpt.edge())
    refuses(t, method, options, (value) => loop[method](source, 1, readable, value as never))
  }
  refuses(t, 'deregister', everything, (value) => loop.deregister(value as never))
  // Nothing of that has registered the one or deregistered the other.
  loop.register(client, 2 ** 53 - 1, EventSet.readable(), PollOpt.edge())
  server.write(Buffer.from('x'))
  client.write(Buffer.from('x'))
  const tokens = new Set<number>()
  await loop.run({
    ready(loop, token) {
      tokens.add(token)
      if (tokens.size === 2) loop.shutdown()
    },
  })
  t.deepEqual([...tokens].sort(), [1, 2 ** 53 - 1])
  await isUnharmed(t, loop)
})

eachDriver('registrations that the system or another loop refuses', async (t, stage) => {
  const loop = stage.open()
  const other = stage.open()
  const { client, server } = await pair(stage)
  const interest = EventSet.all()
  const opt = PollOpt.edge()
  loop.register(client, 1, interest, opt)
  throwsCode(t, () => loop.register(client, 2, interest, opt), 'EEXIST')
  throwsCode(
    t,
    () => other.register(client, 2, interest, opt),
    'ERR_MIOLO_REGISTERED_ELSEWHERE',
    LoopError,
  )
  throwsCode(
    t,
    () => other.reregister(client, 2, interest, opt),
    'ERR_MIOLO_REGISTERED_ELSEWHERE',
    LoopError,
  )
  throwsCode(t, () => other.deregister(client), 'ERR_MIOLO_REGISTERED_ELSEWHERE', LoopError)
  throwsCode(t, () => loop.reregister(server, 2, interest, opt), 'ENOENT')
  throwsCode(t, () => loop.deregister(server), 'ENOENT')
  server.close()
  throwsCode(t, () => loop.register(server, 2, interest, opt), 'ERR_MIOLO_CLOSED', LoopError)
  throwsCode(t, () => loop.reregister(server, 2, interest, opt), 'ERR_MIOLO_CLOSED', LoopError)
  throwsCode(t, () => loop.deregister(server), 'ERR_MIOLO_CLOSED', LoopError)
  loop.deregister(client)
  throwsCode(t, () => loop.deregister(client), 'ENOENT')
  other.register(client, 3, interest, opt)
  await isUnharmed(t, loop)
  await isUnharmed(t, other)
})

// Closed loops

const onClosed: Record<string, (loop: EventLoop, source: TcpStream) => unknown> = {
  run: (loop) => loop.run({}),
  runOnce: (loop) => loop.runOnce({}),
  'runOnce with a limit': (loop) => loop.runOnce({}, 0),
  runSync: (loop) => loop.runSync({}),
  shutdown: (loop) => loop.shutdown(),
  channel: (loop) => loop.channel(),
  timeoutMs: (loop) => loop.timeoutMs('t', 0),
  clearTimeout: (loop) => loop.clearTimeout(0 as never),
  register: (loop, source) => loop.register(source, 0, EventSet.all(), PollOpt.edge()),
  reregister: (loop, source) => loop.reregister(source, 0, EventSet.all(), PollOpt.edge()),
  deregister: (loop, source) => loop.deregister(source),
  interrupt: (loop) => loop.interrupt(),
  metrics: (loop) => loop.metrics(),
  ref: (loop) => loop.ref(),
  unref: (loop) => loop.unref(),
}

for (const [name, call] of Object.entries(onClosed)) {
  eachDriver(`${name} of a closed loop`, async (t, stage) => {
    const { client } = await pair(stage)
    const never = stage.open()
    never.close()
    throwsCode(t, () => call(never, client), 'ERR_MIOLO_CLOSED', LoopError)
    const used = stage.open()
    used.register(client, 0, EventSet.all(), PollOpt.edge())
    await isUnharmed(t, used)
    used.close()
    throwsCode(t, () => call(used, client), 'ERR_MIOLO_CLOSED', LoopError)
  })
}

for (const [name, call] of Object.entries(onClosed)) {
  eachDriver(`${name} in a callback that has closed its loop`, async (t, stage) => {
    const { client } = await pair(stage)
    const loop = stage.open()
    loop.register(client, 0, EventSet.none(), PollOpt.edge())
    loop.timeoutMs('t', 0)
    await loop.run({
      timeout(loop) {
        loop.close()
        throwsCode(t, () => call(loop, client), 'ERR_MIOLO_CLOSED', LoopError)
      },
    })
    t.false(loop.isRunning())
  })
}

eachDriver('what is closed is named', async (t, stage) => {
  const [loop, other] = [stage.open(), stage.open()]
  const server = new TcpServer(other, {})
  loop.close()
  const socket = listen(stage)
  socket.close()
  await server.close()
  const named = (call: () => unknown, what: RegExp) => {
    t.regex(throwsCode(t, call, 'ERR_MIOLO_CLOSED', LoopError).message, what)
  }
  named(() => loop.run({}), /event loop/)
  named(() => new TcpServer(loop, {}), /event loop/)
  named(() => other.register(socket, 0, EventSet.readable(), PollOpt.edge()), /socket/)
  named(() => server.listen('127.0.0.1:0'), /server/)
})

eachDriver('a handler or an address that closes the loop as it is read', (t, { open }) => {
  for (const way of ['run', 'runOnce', 'runSync'] as const) {
    const loop = open()
    const handler = {
      get tick() {
        loop.close()
        return undefined
      },
    }
    throwsCode(t, () => loop[way](handler), 'ERR_MIOLO_CLOSED', LoopError)
  }
  const loop = open()
  const address = {
    get host() {
      loop.close()
      return '127.0.0.1'
    },
    port: 1,
  }
  throwsCode(t, () => connect(loop, address), 'ERR_MIOLO_CLOSED', LoopError)
})

eachDriver('a closed loop answers what needs no loop', (t, { open }) => {
  const loop = open()
  const sender = loop.channel()
  loop.unref()
  loop.close()
  t.false(loop.isRunning())
  t.false(loop.hasRef())
  throwsCode(t, () => sender.share(), 'ERR_MIOLO_CLOSED', LoopError)
  throwsCode(t, () => sender.send(1), 'ERR_MIOLO_NOTIFY_CLOSED', NotifyError)
})

// Methods on what they do not belong to

test('a method called on something else is a TypeError', (t) => {
  for (const type of [EventLoop, Sender, TcpStream, TcpListener, EventSet, PollOpt]) {
    for (const name of Object.getOwnPropertyNames(type.prototype)) {
      if (name === 'constructor') continue
      const method = (type.prototype as unknown as Record<string, unknown>)[name]
      if (typeof method !== 'function' || /^(is|toString)/.test(name)) continue
      for (const receiver of [undefined, null, 1, {}, Object.create(type.prototype)]) {
        const action = () => Reflect.apply(method, receiver, [{}, 0, {}, {}])
        t.throws(action, { instanceOf: TypeError }, `${type.name}.${name}`)
      }
    }
  }
})

test('classes are not called as functions', (t) => {
  for (const type of [EventLoop, Sender, TcpStream, TcpListener, EventSet, PollOpt, LoopError]) {
    t.throws(() => (type as unknown as () => void)(), { instanceOf: TypeError })
  }
})

// Sender.from

const shareable = ({ open }: Pick<Stage, 'open'>) => {
  const loop = open<unknown, unknown>()
  return { loop, shared: inside(loop.channel().share()) as Inside & SharedSender }
}

eachDriver('Sender.from takes nothing that share did not return', async (t, { open }) => {
  const { loop, shared } = shareable({ open })
  refuses(t, 'Sender.from', everything, (value) => Sender.from(value as SharedSender))
  for (const name of Object.keys(shared)) {
    const wrong = everything.filter((value) => value !== shared[name as keyof Inside])
    refuses(
      t,
      `Sender.from with ${name}`,
      wrong.filter((value) => !plausible(name, value)),
      (value) => Sender.from({ ...shared, [name]: value } as SharedSender),
    )
  }
  await isUnharmed(t, loop)
})

/** An id may be that of a loop that is gone, which is another error. */
function plausible(name: string, value: unknown): boolean {
  return (name === 'id' || name === 'capacity') && Number.isInteger(value) && (value as number) >= 0
}

eachDriver('Sender.from of a loop that is gone', async (t, { open }) => {
  const { loop, shared } = shareable({ open })
  const before = Sender.from(shared)
  loop.close()
  throwsCode(t, () => Sender.from(shared), 'ERR_MIOLO_CLOSED', LoopError)
  throwsCode(t, () => before.send(1), 'ERR_MIOLO_NOTIFY_CLOSED', NotifyError)
  const { shared: other } = shareable({ open })
  for (const id of [shared.id, 2 ** 32 - 1, other.id + 1000]) {
    const action = () => Sender.from({ ...other, id } as SharedSender)
    throwsCode(t, action, 'ERR_MIOLO_CLOSED', LoopError)
  }
})

eachDriver('Sender.from with memory that is not the loop’s', async (t, { open }) => {
  const one = shareable({ open })
  const two = shareable({ open })
  const copy = (words: Int32Array) => new Int32Array(new SharedArrayBuffer(words.byteLength))
  for (const forged of [
    { ...one.shared, memory: two.shared.memory },
    { ...one.shared, lanes: two.shared.lanes },
    { ...one.shared, id: two.shared.id },
    { ...one.shared, memory: copy(one.shared.memory) },
    { ...one.shared, lanes: copy(one.shared.lanes) },
    { ...one.shared, memory: one.shared.lanes },
    { ...one.shared, memory: one.shared.memory.subarray(64) },
    { ...one.shared, lanes: one.shared.lanes.subarray(1) },
    { ...one.shared, lanes: Object.create(Int32Array.prototype) as Int32Array },
    { ...one.shared, memory: Object.create(Int32Array.prototype) as Int32Array },
    { ...one.shared, memory: new Float64Array(one.shared.memory.buffer) as unknown as Int32Array },
  ]) {
    throwsCode(t, () => Sender.from(forged), 'ERR_INVALID_ARG_TYPE', TypeError)
  }
  for (const { loop, shared } of [one, two]) {
    Sender.from(shared)
    await isUnharmed(t, loop)
  }
})

eachDriver('a SharedSender cannot promise more than the loop can hold', async (t, { open }) => {
  const loop = open<unknown, number>({ notifyCapacity: 4 })
  const shared = loop.channel().share()
  for (const capacity of [1, 100, 2 ** 31 - 1, 2 ** 31, 2 ** 40, Number.MAX_VALUE]) {
    let sent = 0
    try {
      const sender = Sender.from<number>({ ...shared, capacity } as SharedSender)
      while (sent < 200) {
        sender.send(sent)
        sent++
      }
      t.fail(`${capacity}`)
    } catch (error) {
      t.regex(
        String((error as NotifyError).code),
        /^ERR_(MIOLO_NOTIFY_FULL|INVALID_ARG_TYPE)$/,
        String(error),
      )
    }
    t.true(sent <= 4, `${sent}`)
    let received = 0
    loop.timeoutMs('end', 1)
    await loop.run({
      notify: () => void received++,
      timeout: (loop) => loop.shutdown(),
    })
    while (received < sent) await loop.runOnce({ notify: () => void received++ })
    t.is(received, sent)
  }
})

// Sockets

eachDriver('addresses', async (t, { open, keep }) => {
  const loop = open()
  const bad: unknown[] = [
    ...without((value) => value === '127.0.0.1:0'),
    'localhost:80',
    '127.0.0.1',
    '127.0.0.1:',
    ':80',
    '127.0.0.1:65536',
    '127.0.0.1:-1',
    '256.0.0.1:80',
    '::1:80',
    '[::1]',
    '[::1]:x',
    ' 127.0.0.1:80',
    '127.0.0.1:80 ',
    '127.0.0.1:80\0',
    { host: '127.0.0.1' },
    { port: 80 },
    { host: 'localhost', port: 80 },
    { host: 1, port: 80 },
    { host: '127.0.0.1', port: '80' },
    { host: '127.0.0.1', port: 65_536 },
    { host: '127.0.0.1', port: -1 },
    { host: '127.0.0.1', port: 1.5 },
    { host: '127.0.0.1', port: NaN },
    { host: '127.0.0.1:80', port: 80 },
    { host: '127.0.0.1\0', port: 80 },
    { host: '', port: 80 },
  ]
  refuses(t, 'connect', bad, (address) => TcpStream.connect(address as string))
  refuses(t, 'bind', bad, (address) => TcpListener.bind(address as string))
  t.true(isIPv4(keep(TcpListener.bind({ host: '127.0.0.1', port: 0 })).localAddress().address))
  await isUnharmed(t, loop)
})

test('any text is an address, or a clear error', (t) => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.ipV4(), fc.ipV6(), fc.domain()),
      fc.oneof(fc.integer({ min: -5, max: 70_000 }), fc.string(), fc.anything()),
      (host, port) => {
        for (const address of [host, `${host}:x`, { host, port }]) {
          try {
            // Nothing listens on port 0, and nothing is sent to get there.
            TcpStream.connect(address as string).close()
          } catch (error) {
            const { code } = error as NodeJS.ErrnoException
            if (typeof code !== 'string') t.fail(String(error))
          }
        }
      },
    ),
    { numRuns: 300 },
  )
  t.pass()
})

eachDriver('options of listeners', (t, { keep }) => {
  const bind = (options: unknown) => keep(TcpListener.bind('127.0.0.1:0', options as never))
  const notObjects = without((value) => typeof value === 'object' && value !== null)
  refuses(
    t,
    'options',
    notObjects.filter((value) => value !== undefined),
    bind,
  )
  refuses(t, 'options', [null, hostile, revoked], bind)
  const notBacklogs = without(
    (value) =>
      value === undefined ||
      (Number.isInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 31),
  )
  refuses(t, 'backlog', notBacklogs, (backlog) => bind({ backlog }))
  const notBooleans = without((value) => typeof value === 'boolean' || value === undefined)
  refuses(t, 'reusePort', notBooleans, (reusePort) => bind({ reusePort }))
  refuses(t, 'ipv6Only', notBooleans, (ipv6Only) => bind({ ipv6Only }))
  t.truthy(bind({ backlog: 0, reusePort: true, ipv6Only: false, unknown: 1 }))
})

eachDriver('arguments of streams', async (t, stage) => {
  const { client, server } = await pair(stage)
  const notBytes = without(types.isUint8Array)
  refuses(t, 'read', notBytes, (into) => client.read(into as Uint8Array))
  refuses(t, 'read', [new Uint8Array(0)], (into) => client.read(into as Uint8Array))
  refuses(t, 'write', notBytes, (from) => client.write(from as Uint8Array))
  refuses(t, 'shutdown', everything, (how) => client.shutdown(how as 'read'))
  const shutdown = (how: unknown) => () => client.shutdown(how as 'read')
  throwsCode(t, shutdown(5), 'ERR_INVALID_ARG_TYPE', TypeError)
  throwsCode(t, shutdown('Read'), 'ERR_INVALID_ARG_VALUE', TypeError)
  refuses(
    t,
    'setNodelay',
    without((value) => typeof value === 'boolean'),
    (on) => client.setNodelay(on as boolean),
  )
  const isSeconds = (max: number, min: number) => (value: unknown) =>
    value === null ||
    (Number.isInteger(value) && (value as number) >= min && (value as number) <= max)
  refuses(t, 'setKeepalive', without(isSeconds(32_767, 1)), (seconds) =>
    client.setKeepalive(seconds as number),
  )
  refuses(t, 'setLinger', without(isSeconds(65_535, 0)), (seconds) =>
    client.setLinger(seconds as number),
  )
  // Both still work.
  t.is(server.write(Buffer.from('x')), 1)
  client.setNodelay(true)
})

eachDriver('a closed socket', async (t, stage) => {
  const { client } = await pair(stage)
  const listener = TcpListener.bind('127.0.0.1:0')
  const calls: (() => unknown)[] = [
    () => listener.accept(),
    () => listener.localAddress(),
    () => listener.takeError(),
    () => client.read(new Uint8Array(1)),
    () => client.write(new Uint8Array(1)),
    () => client.shutdown('both'),
    () => client.peerAddress(),
    () => client.localAddress(),
    () => client.setNodelay(true),
    () => client.setKeepalive(1),
    () => client.setKeepalive(null),
    () => client.setLinger(0),
    () => client.setLinger(null),
    () => client.takeError(),
  ]
  listener.close()
  client.close()
  for (const call of calls) throwsCode(t, call, 'ERR_MIOLO_CLOSED', LoopError)
  listener.close()
  client.close()
  client[Symbol.dispose]()
})

// Any call, with anything

test('any call with anything throws a typed error or does what it says, and the loop goes on', async (t) => {
  for (const driver of drivers) {
    const methods = [
      'timeoutMs',
      'clearTimeout',
      'register',
      'reregister',
      'deregister',
      'channel',
      'interrupt',
      'metrics',
      'isRunning',
      'hasRef',
      'runOnce',
      'run',
      'runSync',
    ] as const
    // By number, as fast-check would look into what does not like to be looked into.
    const garbage = fc.oneof(
      fc.anything({ withBigInt: true, withTypedArray: true }).map((value) => () => value),
      fc.nat(everything.length - 1).map((index) => () => everything[index]),
    )
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.constantFrom(...methods), fc.array(garbage, { maxLength: 4 })), {
          maxLength: 20,
        }),
        async (calls) => {
          using loop = new EventLoop<unknown, unknown>({ driver, timerCapacity: 4 })
          for (const [method, given] of calls) {
            const args = given.map((get) => get())
            // What takes any object for a handler would wait for ever.
            if (method.startsWith('run') && typeof args[0] === 'object') args[0] = null
            try {
              const value = Reflect.apply(loop[method] as () => unknown, loop, args)
              if (value instanceof Promise) t.fail(`${method} runs`)
            } catch (error) {
              const { code } = error as NodeJS.ErrnoException
              const isOurs = typeof code === 'string' && /^ERR_|^E[A-Z]+$/.test(code)
              if (!isOurs && !args.includes(hostile) && !args.includes(revoked)) {
                t.fail(`${method}: ${String(error)}`)
              }
            }
          }
          let left = 0
          for (let each = 0; each < 3; each++) {
            loop.channel().send('message')
            left++
          }
          await loop.run({
            notify(loop) {
              if (--left === 0) loop.shutdown()
            },
          })
        },
      ),
      { numRuns: 150 },
    )
  }
  t.pass()
})
