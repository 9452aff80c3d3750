/** The commands of examples/redis.ts: bytes go in and bytes come out, however they are cut; without a socket. */

import test from 'ava'
import fc from 'fast-check'

import { Service, type Session } from '../examples/redis/commands.ts'
import type { Limits } from '../examples/redis/resp.ts'
import { type Key, List, Store } from '../examples/redis/store.ts'

/** A clock that a test sets, and the timeouts by it. */
class Clock {
  ms = 1000
  readonly timeouts = new Map<number, { key: Key; due: number }>()
  /** How many were ever set. */
  set = 0
  readonly store: Store

  constructor() {
    this.store = new Store({
      now: () => this.ms,
      set: (key, ms) => {
        this.timeouts.set(++this.set, { key, due: this.ms + ms })
        return this.set
      },
      clear: (handle: number) => void this.timeouts.delete(handle),
    })
  }

  advance(ms: number): void {
    this.ms += ms
    for (const [handle, { key, due }] of this.timeouts) {
      if (due > this.ms) continue
      this.timeouts.delete(handle)
      this.store.expire(key)
    }
  }
}

/** A server that was never started, and one client of it. */
class Client {
  readonly clock: Clock
  readonly service: Service
  readonly session: Session
  /** What has been done to the connection besides writing. */
  readonly done: string[] = []
  /** The client reads: writes need not wait. */
  reads = true
  /** How many writes there were. */
  writes = 0
  #received: Buffer[] = []

  constructor(limits?: Partial<Limits>, clock = new Clock(), service?: Service) {
    this.clock = clock
    this.service = service ?? new Service(clock.store, limits)
    this.session = this.service.open({
      write: (bytes) => {
        this.writes++
        this.#received.push(Buffer.from(bytes))
        return this.reads
      },
      end: () => void this.done.push('end'),
      abort: () => void this.done.push('abort'),
      pause: () => void this.done.push('pause'),
      resume: () => void this.done.push('resume'),
    })
  }

  /** Another client of the same server. */
  another(): Client {
    return new Client({}, this.clock, this.service)
  }

  send(bytes: string | Buffer): void {
    const chunk = Buffer.from(bytes as string, 'latin1')
    this.session.receive(chunk)
    // It was lent.
    chunk.fill('?')
  }

  /** What has come since the last call. */
  received(): string {
    const received = Buffer.concat(this.#received).toString('latin1')
    this.#received = []
    return received
  }

  /** The reply to a request. */
  ask(...words: (string | number)[]): string {
    this.send(request(...words))
    return this.received()
  }
}

function bulk(text: string): string {
  return `$${text.length}\r\n${text}\r\n`
}

function array(...texts: string[]): string {
  return `*${texts.length}\r\n${texts.map(bulk).join('')}`
}

function request(...words: (string | number)[]): string {
  return array(...words.map(String))
}

const OK = '+OK\r\n'
const NIL = '$-1\r\n'
const WRONG_TYPE = '-WRONGTYPE Operation against a key holding the wrong kind of value\r\n'
const NOT_AN_INTEGER = '-ERR value is not an integer or out of range\r\n'
const NOT_A_COUNT = '-ERR value is out of range, must be positive\r\n'
const SYNTAX = '-ERR syntax error\r\n'
const NOT_BOTH = '-ERR NX and XX, GT or LT options at the same time are not compatible\r\n'
const BINARY = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)).toString('latin1')

const arity = (name: string): string => `-ERR wrong number of arguments for '${name}' command\r\n`

/** Requests, and what Redis 7.0 replies to them, one after the other. */
const conversation: [words: (string | number)[], reply: string][] = [
  [['PING'], '+PONG\r\n'],
  [['ping', 'hello'], bulk('hello')],
  [['PING', 'a', 'b'], arity('ping')],
  [['ECHO', BINARY], bulk(BINARY)],
  [['ECHO', ''], bulk('')],
  [['SELECT', 0], OK],
  [['SELECT', 99], '-ERR DB index is out of range\r\n'],
  [['SELECT', 'x'], NOT_AN_INTEGER],
  [['CLIENT', 'SETNAME', 'me'], OK],
  [['CLIENT', 'SETINFO', 'LIB-NAME', 'it'], OK],
  [['CLIENT', 'nope'], "-ERR unknown subcommand 'nope'. Try CLIENT HELP.\r\n"],
  [['COMMAND', 'DOCS'], '*0\r\n'],
  [['CONFIG', 'GET', 'save'], array('save', '')],
  [['CONFIG', 'GET', 'nothing'], '*0\r\n'],
  [['CONFIG', 'GET'], arity('config|get')],
  [['HELLO', 3], "-ERR unknown command 'HELLO', with args beginning with: '3' \r\n"],
  [['a\r\nb', 'c\0d'], "-ERR unknown command 'a  b', with args beginning with: 'c' \r\n"],
  [[''], "-ERR unknown command '', with args beginning with: \r\n"],

  [['GET', 'a'], NIL],
  [['GET'], arity('get')],
  [['SET', 'a'], arity('set')],
  [['SET', 'a', BINARY], OK],
  [['GET', 'a'], bulk(BINARY)],
  [['SET', BINARY, 'under a key of all bytes'], OK],
  [['GET', BINARY], bulk('under a key of all bytes')],
  [['SET', '', 'under no key'], OK],
  [['GET', ''], bulk('under no key')],
  [['EXISTS', 'a', 'a', 'b', ''], ':3\r\n'],
  [['DBSIZE'], ':3\r\n'],
  [['DEL', '', 'a', 'b', BINARY], ':3\r\n'],
  [['DBSIZE'], ':0\r\n'],
  [['SET', 'a', '1', 'XX'], NIL],
  [['SET', 'a', '1', 'nx'], OK],
  [['SET', 'a', '2', 'NX'], NIL],
  [['SET', 'a', '2', 'XX', 'GET'], bulk('1')],
  [['SET', 'a', '3', 'NX', 'GET'], bulk('2')],
  [['SET', 'b', '1', 'GET'], NIL],
  [['SET', 'a', '1', 'NX', 'XX'], SYNTAX],
  [['SET', 'a', '1', 'EX'], SYNTAX],
  [['SET', 'a', '1', 'EX', 1, 'PX', 1], SYNTAX],
  [['SET', 'a', '1', 'EX', 1, 'KEEPTTL'], SYNTAX],
  [['SET', 'a', '1', 'nope'], SYNTAX],
  [['SET', 'a', '1', 'EX', 'x'], NOT_AN_INTEGER],
  [['SET', 'a', '1', 'EX', 0], "-ERR invalid expire time in 'set' command\r\n"],
  [['SET', 'a', '1', 'PX', -1], "-ERR invalid expire time in 'set' command\r\n"],
  [['MSET', 'a', 1, 'b', 2, 'c', 3], OK],
  [['MSET', 'a', 1, 'b'], arity('mset')],
  [['MGET', 'c', 'b', 'nope', 'a'], `*4\r\n${bulk('3')}${bulk('2')}${NIL}${bulk('1')}`],
  [['TYPE', 'a'], '+string\r\n'],
  [['TYPE', 'nope'], '+none\r\n'],

  [['INCR', 'n'], ':1\r\n'],
  [['INCRBY', 'n', 41], ':42\r\n'],
  [['DECR', 'n'], ':41\r\n'],
  [['DECRBY', 'n', 100], ':-59\r\n'],
  [['GET', 'n'], bulk('-59')],
  [['INCRBY', 'n', '1.5'], NOT_AN_INTEGER],
  [['INCRBY', 'n', '9223372036854775807'], ':9223372036854775748\r\n'],
  [['INCRBY', 'n', '59'], ':9223372036854775807\r\n'],
  [['INCR', 'n'], '-ERR increment or decrement would overflow\r\n'],
  [['DECRBY', 'n', '-9223372036854775808'], '-ERR decrement would overflow\r\n'],
  [['INCRBY', 'n', '9223372036854775808'], NOT_AN_INTEGER],
  [['SET', 'n', '9007199254740991'], OK],
  [['INCR', 'n'], ':9007199254740992\r\n'],
  [['INCR', 'n'], ':9007199254740993\r\n'],
  ...['', '-', '+1', ' 1', '1 ', '01', '-0', '1e3', '0x1', '9'.repeat(40)].flatMap(
    (text): [string[], string][] => [
      [['SET', 'n', text], OK],
      [['INCR', 'n'], NOT_AN_INTEGER],
    ],
  ),

  [['LPUSH', 'l', 'b', 'a'], ':2\r\n'],
  [['RPUSH', 'l', 'c', BINARY], ':4\r\n'],
  [['LLEN', 'l'], ':4\r\n'],
  [['LRANGE', 'l', 0, -1], array('a', 'b', 'c', BINARY)],
  [['LRANGE', 'l', -3, 1], array('b')],
  [['LRANGE', 'l', -100, 100], array('a', 'b', 'c', BINARY)],
  [['LRANGE', 'l', 4, 100], '*0\r\n'],
  [['LRANGE', 'l', 2, 1], '*0\r\n'],
  [['LRANGE', 'l', 'x', 1], NOT_AN_INTEGER],
  [['LRANGE', 'nope', 0, -1], '*0\r\n'],
  [['GET', 'l'], WRONG_TYPE],
  [['INCR', 'l'], WRONG_TYPE],
  [['SET', 'l', 'x', 'GET'], WRONG_TYPE],
  [['MGET', 'l'], `*1\r\n${NIL}`],
  [['LPUSH', 'a', 'x'], WRONG_TYPE],
  [['LRANGE', 'a', 0, -1], WRONG_TYPE],
  [['TYPE', 'l'], '+list\r\n'],
  [['LPOP', 'l'], bulk('a')],
  [['RPOP', 'l'], bulk(BINARY)],
  [['RPOP', 'l'], bulk('c')],
  [['RPOP', 'l'], bulk('b')],
  [['RPOP', 'l'], NIL],
  [['EXISTS', 'l'], ':0\r\n'],
  [['LPOP', 'l', 1], '*-1\r\n'],
  [['RPUSH', 'l', 'a', 'b', 'c', 'd', 'e'], ':5\r\n'],
  [['LPOP', 'l', 2], array('a', 'b')],
  [['RPOP', 'l', 2], array('e', 'd')],
  [['LPOP', 'l', 0], '*0\r\n'],
  ...['-1', 'x', '', '01', '1.5', '9223372036854775808'].map((count): [string[], string] => [
    ['LPOP', 'l', count],
    NOT_A_COUNT,
  ]),
  [['RPOP', 'l', 'x', 'y'], arity('rpop')],
  [['LPOP', 'a', 1], WRONG_TYPE],
  [['RPOP', 'l', '9223372036854775807'], array('c')],
  [['EXISTS', 'l'], ':0\r\n'],

  [['SADD', 's', 'x', 'y', 'x'], ':2\r\n'],
  [['SADD', 's', 'y'], ':0\r\n'],
  [['SCARD', 's'], ':2\r\n'],
  [['SMEMBERS', 's'], array('x', 'y')],
  [['SMEMBERS', 'nope'], '*0\r\n'],
  [['SADD', 'a', 'x'], WRONG_TYPE],
  [['HGET', 's', 'x'], WRONG_TYPE],
  [['TYPE', 's'], '+set\r\n'],
  [['SREM', 's', 'x', 'y', 'z'], ':2\r\n'],
  [['EXISTS', 's'], ':0\r\n'],

  [['HSET', 'h', 'f', 1, 'g', 2], ':2\r\n'],
  [['HSET', 'h', 'f', 3, 'i', 4], ':1\r\n'],
  [['HSET', 'h', 'f', 3, 'i'], arity('hset')],
  [['HGET', 'h', 'f'], bulk('3')],
  [['HGET', 'h', 'nope'], NIL],
  [['HGET', 'nope', 'f'], NIL],
  [['HGETALL', 'h'], array('f', '3', 'g', '2', 'i', '4')],
  [['HSET', 'a', 'f', 1], WRONG_TYPE],
  [['TYPE', 'h'], '+hash\r\n'],
  [['HDEL', 'h', 'f', 'g', 'i', 'j'], ':3\r\n'],
  [['EXISTS', 'h'], ':0\r\n'],

  [['EXPIRE', 'a', 100], ':1\r\n'],
  [['TTL', 'a'], ':100\r\n'],
  [['PTTL', 'a'], ':100000\r\n'],
  [['SET', 'a', 'x', 'KEEPTTL'], OK],
  [['TTL', 'a'], ':100\r\n'],
  [['PERSIST', 'a'], ':1\r\n'],
  [['PERSIST', 'a'], ':0\r\n'],
  [['TTL', 'a'], ':-1\r\n'],
  [['TTL', 'nope'], ':-2\r\n'],
  [['EXPIRE', 'nope', 100], ':0\r\n'],
  [['EXPIRE', 'a', 'x'], NOT_AN_INTEGER],
  [['EXPIRE', 'a', 10, 'XX'], ':0\r\n'],
  [['EXPIRE', 'a', 10, 'GT'], ':0\r\n'],
  [['EXPIRE', 'a', 10, 'XX', 'LT'], ':0\r\n'],
  [['TTL', 'a'], ':-1\r\n'],
  [['EXPIRE', 'a', 10, 'lt'], ':1\r\n'],
  [['PERSIST', 'a'], ':1\r\n'],
  [['EXPIRE', 'a', 10, 'nx'], ':1\r\n'],
  [['EXPIRE', 'a', 20, 'NX'], ':0\r\n'],
  [['EXPIRE', 'a', 5, 'GT'], ':0\r\n'],
  [['PEXPIRE', 'a', 20_000, 'GT', 'XX'], ':1\r\n'],
  [['EXPIRE', 'a', 30, 'LT'], ':0\r\n'],
  [['TTL', 'a'], ':20\r\n'],
  [['EXPIRE', 'a', 15, 'LT', 'LT'], ':1\r\n'],
  [['EXPIRE', 'a', -1, 'GT'], ':0\r\n'],
  [['TTL', 'a'], ':15\r\n'],
  [['EXPIRE', 'nope', 10, 'NX'], ':0\r\n'],
  [['EXPIRE', 'a', 10, 'nope'], '-ERR Unsupported option nope\r\n'],
  ...['XX', 'GT', 'LT'].map((option): [(string | number)[], string] => [
    ['EXPIRE', 'a', 10, option, 'NX'],
    NOT_BOTH,
  ]),
  [
    ['EXPIRE', 'a', 'x', 'GT', 'LT'],
    '-ERR GT and LT options at the same time are not compatible\r\n',
  ],
  [['PERSIST', 'a'], ':1\r\n'],
  [['EXPIRE', 'a', '9223372036854775807'], "-ERR invalid expire time in 'expire' command\r\n"],
  [['PEXPIRE', 'a', 1500], ':1\r\n'],
  [['TTL', 'a'], ':2\r\n'],
  [['SET', 'a', 'x'], OK],
  [['TTL', 'a'], ':-1\r\n'],
  [['EXPIRE', 'a', -1], ':1\r\n'],
  [['EXISTS', 'a'], ':0\r\n'],
  [['SET', 'a', 'x'], OK],
  [['EXPIRE', 'a', -5e12], ':1\r\n'],
  [['EXISTS', 'a'], ':0\r\n'],
  [['FLUSHALL', 'nope'], SYNTAX],
  [['FLUSHALL'], OK],
  [['DBSIZE'], ':0\r\n'],
  [['QUIT'], OK],
]

const asked = conversation.map(([words]) => request(...words)).join('')
const answered = conversation.map(([, reply]) => reply).join('')

/** What comes out where `bytes` go in, in pieces that end at `cuts`, and whether the connection was ended. */
function talk(bytes: string, cuts: number[], limits?: Partial<Limits>): [string, string[]] {
  const client = new Client(limits)
  let start = 0
  for (const cut of [...cuts, bytes.length]) {
    client.send(bytes.slice(start, cut))
    start = cut
  }
  return [client.received(), client.done]
}

test('each command is answered as by Redis', (t) => {
  const client = new Client()
  for (const [words, reply] of conversation) t.is(client.ask(...words), reply, words.join(' '))
  t.deepEqual(client.done, ['end'])
})

test('wherever what is asked is cut in two, the answers are the same', (t) => {
  // Between them, these cut it everywhere, and most of it once at a time.
  const apart = 251
  for (let first = 0; first < apart; first++) {
    const cuts = []
    for (let cut = first; cut < asked.length; cut += apart) cuts.push(cut)
    t.is(talk(asked, cuts)[0], answered, `from ${first} on`)
  }
})

test('byte by byte, the answers are the same', (t) => {
  const cuts = Array.from({ length: asked.length }, (_, cut) => cut)
  t.is(talk(asked, cuts)[0], answered)
})

test('what came at once is answered by one write', (t) => {
  const client = new Client()
  client.send(request('PING').repeat(16))
  t.is(client.received(), '+PONG\r\n'.repeat(16))
  t.is(client.writes, 1)
})

test('a line is a request, too', (t) => {
  const client = new Client()
  const lines: [line: string, reply: string][] = [
    ['PING\r\n', '+PONG\r\n'],
    ['ping\n', '+PONG\r\n'],
    ['\r\n\n  \t \r\n', ''],
    ['  SET   a  b  \r\n', OK],
    ['get a\n', bulk('b')],
    ['ECHO "good \\x41\\n\\"morning\\""\n', bulk('good A\n"morning"')],
    ["ECHO 'it\\'s \\n'\n", bulk("it's \\n")],
    ['ECHO a"b c"\n', bulk('ab c')],
    ['ECHO ""\n', bulk('')],
    ['ECHO "\\xZZ\\q"\n', bulk('xZZq')],
    ['nope "a b"\n', "-ERR unknown command 'nope', with args beginning with: 'a b' \r\n"],
  ]
  for (const [line, reply] of lines) {
    client.send(line)
    t.is(client.received(), reply, line)
  }
})

test('what is no request is told so, and the connection ends', (t) => {
  const limits = { maxBulk: 1000, maxRequest: 4000 }
  const faults: [bytes: string, fault: string][] = [
    ['*x\r\n', 'invalid multibulk length'],
    ['*\r\n', 'invalid multibulk length'],
    ['*01\r\n', 'invalid multibulk length'],
    ['*-\r\n', 'invalid multibulk length'],
    ['*-0\r\n', 'invalid multibulk length'],
    ['*1048577\r\n', 'invalid multibulk length'],
    ['*99999999999999999999', 'invalid multibulk length'],
    ['*1\r\nPING\r\n', "expected '$', got 'P'"],
    ['*1\r\n\r\n', "expected '$', got ' '"],
    ['*1\r\n\xff', "expected '$', got '\xff'"],
    ['*1\r\n$x\r\n', 'invalid bulk length'],
    ['*1\r\n$-1\r\n', 'invalid bulk length'],
    ['*1\r\n$1001\r\n', 'invalid bulk length'],
    [`*5\r\n${bulk('x'.repeat(999)).repeat(4)}$9\r\n`, 'too big request'],
    ['PING "\r\n', 'unbalanced quotes in request'],
    ["PING 'a'b\r\n", 'unbalanced quotes in request'],
    ['PING "a\\\r\n', 'unbalanced quotes in request'],
    ['x'.repeat(64 * 1024 + 1), 'too big inline request'],
  ]
  for (const [bytes, fault] of faults) {
    const expected = `+PONG\r\n-ERR Protocol error: ${fault}\r\n`
    const all = `PING\r\n${bytes}`
    t.deepEqual(talk(`${all}\r\nPING\r\n`, [], limits), [expected, ['end']], bytes.slice(0, 50))
    t.deepEqual(talk(`${all}\r\nPING\r\n`, [all.length], limits), [expected, ['end']])
    t.deepEqual(talk(all, [7, 8, 9, 10, all.length - 1], limits), [expected, ['end']])
  }
})

test('what is as long as allowed is a request', (t) => {
  const client = new Client({ maxBulk: 1000 })
  const longest = 'x'.repeat(1000)
  t.is(client.ask('ECHO', longest), bulk(longest))
  const line = 'x'.repeat(64 * 1024 - 'ECHO \r'.length)
  client.send(`ECHO ${line}\r\n`)
  t.is(client.received(), bulk(line))
  client.send('*0\r\n*-1\r\n*-7\r\nPING\r\n')
  t.is(client.received(), '+PONG\r\n')
})

const TOKENS = [
  ...['*', '$', '-', '+', ':', '0', '1', '2', '3', '10', '\r\n', '\r\n', '\r', '\n', ' ', '"', "'"],
  ...['\\', '\\x4', '\0', '\xff', 'PING', 'GET', 'SET', 'a', 'EX', 'QUIT', '*1\r\n', '*3\r\n'],
  ...['*1048576\r\n', '$99999\r\n', '*-1\r\n', '$-1\r\n', '$0\r\n\r\n', '$4\r\nPING\r\n'],
  ...[request('GET', 'a'), request('SET', 'a', 'b'), request('LPUSH', 'l', 'x'), 'INCR a\r\n'],
]

const cuttings = fc.array(fc.nat({ max: 200 }), { maxLength: 8 })

/** Places within `bytes`. */
function cutsOf(bytes: string, cutting: number[]): number[] {
  return cutting.map((cut) => Math.min(cut, bytes.length)).sort((a, b) => a - b)
}

test('garbage does no harm, and means the same however it is cut', (t) => {
  const garbage = fc.array(
    fc.oneof(fc.constantFrom(...TOKENS), fc.string({ unit: 'binary-ascii', maxLength: 4 })),
    { maxLength: 30 },
  )
  t.notThrows(() =>
    fc.assert(
      fc.property(garbage, cuttings, (tokens, cutting) => {
        const bytes = tokens.join('')
        const whole = talk(bytes, [])
        const cut = talk(bytes, cutsOf(bytes, cutting))
        return JSON.stringify(whole) === JSON.stringify(cut)
      }),
      { numRuns: 3000 },
    ),
  )
})

test('any requests mean the same however they are cut', (t) => {
  const word = fc.oneof(
    fc.constantFrom(...new Set(conversation.map(([[name]]) => String(name)))),
    fc.constantFrom('a', 'b', 'l', 's', 'h', '0', '1', '-1', 'EX', 'NX', '100'),
    fc.string({ unit: 'binary-ascii', maxLength: 12 }),
  )
  const requests = fc.array(fc.array(word, { minLength: 1, maxLength: 6 }), { maxLength: 20 })
  // It says how long the server has been there.
  const stable = requests.filter((all) => all.every(([name]) => !/^info$/i.test(name as string)))
  t.notThrows(() =>
    fc.assert(
      fc.property(stable, cuttings, (all, cutting) => {
        const bytes = all.map((words) => request(...words)).join('')
        const whole = talk(bytes, [])
        return JSON.stringify(whole) === JSON.stringify(talk(bytes, cutsOf(bytes, cutting)))
      }),
      { numRuns: 1000 },
    ),
  )
})

test('long requests in the smallest pieces are read in one go', (t) => {
  // Read anew with each piece, these would take minutes.
  const pieces = (bytes: string): string => {
    const client = new Client()
    const chunk = Buffer.alloc(1)
    for (let at = 0; at < bytes.length; at++) {
      chunk[0] = bytes.charCodeAt(at)
      client.session.receive(chunk)
    }
    return client.received()
  }
  const value = BINARY.repeat(4096)
  t.true(pieces(request('ECHO', value)) === bulk(value))
  const keys = bulk('k').repeat(100_000)
  t.is(pieces(`*100001\r\n${bulk('EXISTS')}${keys}`), ':0\r\n')
  t.is(pieces(`${'x '.repeat(32_000)}\r\nPING\r\n`).slice(-7), '+PONG\r\n')
})

test('a key goes when its time has come, by a timeout of its own', (t) => {
  const client = new Client()
  const { clock } = client
  t.is(client.ask('SET', 'a', 'x', 'PX', 100), OK)
  t.is(client.ask('SET', 'b', 'x', 'EX', 1), OK)
  t.is(client.ask('SET', 'c', 'x'), OK)
  t.is(clock.timeouts.size, 2)
  clock.advance(99)
  t.is(client.ask('MGET', 'a', 'b', 'c'), array('x', 'x', 'x'))
  t.is(client.ask('PTTL', 'a'), ':1\r\n')
  clock.advance(1)
  t.is(client.ask('DBSIZE'), ':2\r\n')
  t.is(client.ask('GET', 'a'), NIL)
  clock.advance(900)
  t.is(client.ask('DBSIZE'), ':1\r\n')
  t.is(clock.timeouts.size, 0)
  t.is(clock.set, 2, 'and none for asking')
})

test('a timeout that comes late is not noticed, and one that comes early does nothing', (t) => {
  const client = new Client()
  const { clock } = client
  client.ask('SET', 'a', 'x', 'PX', 100)
  const [{ key }] = [...clock.timeouts.values()] as [{ key: Key; due: number }]
  clock.ms += 99
  clock.timeouts.clear()
  clock.store.expire(key)
  t.is(client.ask('PTTL', 'a'), ':1\r\n')
  clock.ms += 1
  t.is(client.ask('GET', 'a'), NIL)
  t.is(clock.timeouts.size, 0)
})

test('what ends a key, or gives it another time, clears its timeout', (t) => {
  const ends = [
    ['DEL', 'a'],
    ['SET', 'a', 'y'],
    ['MSET', 'a', 'y'],
    ['PERSIST', 'a'],
    ['FLUSHALL'],
    ['EXPIRE', 'a', '0'],
  ]
  for (const words of ends) {
    const client = new Client()
    client.ask('SET', 'a', 'x', 'EX', 10)
    client.ask(...words)
    t.is(client.clock.timeouts.size, 0, words.join(' '))
    t.is(client.clock.store.expiring, 0)
  }
  const client = new Client()
  client.ask('SET', 'a', 'x', 'EX', 10)
  client.ask('SET', 'a', 'x', 'EX', 20)
  client.ask('EXPIRE', 'a', 30)
  t.is(client.clock.timeouts.size, 1)
  t.is(client.ask('TTL', 'a'), ':30\r\n')
})

test('a time longer than a timeout can be takes several', (t) => {
  const client = new Client()
  const { clock } = client
  const year = 365 * 24 * 3600
  client.ask('SET', 'a', 'x', 'EX', year)
  let turns = 0
  for (; clock.timeouts.size > 0; turns++) {
    const [{ due }] = [...clock.timeouts.values()] as [{ key: Key; due: number }]
    t.true(due - clock.ms < 2 ** 31)
    t.is(client.ask('EXISTS', 'a'), ':1\r\n')
    clock.advance(due - clock.ms)
  }
  t.is(clock.ms, 1000 + 1000 * year)
  t.is(turns, Math.ceil((1000 * year) / (2 ** 31 - 1)))
  t.is(client.ask('EXISTS', 'a'), ':0\r\n')
})

test('a client that does not read is not answered until it does', (t) => {
  const client = new Client()
  client.ask('SET', 'a', 'x'.repeat(100_000))
  client.reads = false
  client.send(request('GET', 'a').repeat(3))
  t.deepEqual(client.done, ['pause'])
  t.is(client.received(), bulk('x'.repeat(100_000)))
  // What was on its way already.
  client.send('PING\r\nPI')
  client.send('NG\r\n')
  t.is(client.received(), '')

  client.session.drain()
  t.is(client.received(), bulk('x'.repeat(100_000)))
  t.deepEqual(client.done, ['pause', 'pause'])
  client.reads = true
  client.session.drain()
  t.is(client.received(), `${bulk('x'.repeat(100_000))}+PONG\r\n+PONG\r\n`)
  t.deepEqual(client.done, ['pause', 'pause', 'resume'])
})

test('a client that quits before it has read gets its replies, and is read from to see its end', (t) => {
  for (const last of ['QUIT\r\n', '*x\r\n']) {
    const client = new Client()
    client.ask('SET', 'a', 'x'.repeat(100_000))
    client.reads = false
    client.send(request('GET', 'a') + last)
    t.deepEqual(client.done, ['pause'])
    client.reads = true
    client.session.drain()
    t.regex(client.received(), /x\r\n[+-][^\r]+\r\n$/)
    t.deepEqual(client.done, ['pause', 'end', 'resume'])
  }
})

test('what a browser posts is not obeyed', (t) => {
  for (const line of ['POST / HTTP/1.1\r\n', 'Host: localhost\r\n']) {
    const client = new Client()
    client.send(`${line}\r\nSET a 1\r\n`)
    t.is(client.received(), '')
    t.deepEqual(client.done, ['end'])
    t.is(client.another().ask('EXISTS', 'a'), ':0\r\n')
  }
})

test('a client that has sent its last byte gets its replies first', (t) => {
  const client = new Client()
  client.reads = false
  client.send('PING\r\nPING\r\n')
  client.session.end()
  t.deepEqual(client.done, ['pause'])
  client.reads = true
  client.session.drain()
  t.is(client.received(), '+PONG\r\n+PONG\r\n')
  t.deepEqual(client.done, ['pause', 'end', 'resume'])

  const other = new Client()
  other.send('PING\r\nPI')
  other.session.end()
  t.is(other.received(), '+PONG\r\n')
  t.deepEqual(other.done, ['end'])
})

test('a client that lets replies pile up is cut off', (t) => {
  const client = new Client({ maxReply: 1_000_000 })
  client.ask('SET', 'a', 'x'.repeat(100_000))
  client.reads = false
  client.send(request('MGET', ...Array.from({ length: 1000 }, () => 'a')))
  t.deepEqual(client.done, ['abort'])
  t.true(client.received().length < 1_200_000)
  client.send('PING\r\n')
  t.is(client.received(), '')

  const other = client.another()
  t.is(other.ask('PING'), '+PONG\r\n')
})

test('a reply may be longer than the buffer it is written into', (t) => {
  const client = new Client()
  for (const length of [65_503, 65_504, 65_505, 65_536, 65_537, 131_072, 300_000]) {
    const value = BINARY.repeat(1200).slice(0, length)
    client.ask('SET', 'a', value)
    client.send(`PING\r\n${request('GET', 'a')}PING\r\n`)
    t.true(client.received() === `+PONG\r\n${bulk(value)}+PONG\r\n`, String(length))
  }
})

test('the requests of two clients do not get into one another', (t) => {
  const one = new Client()
  const other = one.another()
  one.send('*2\r\n$4\r\nECHO\r\n$3\r\no')
  other.send('*2\r\n$4\r\nECHO\r\n$5\r\not')
  one.send('ne\r\n')
  other.send('her\r\n')
  t.is(one.received(), bulk('one'))
  t.is(other.received(), bulk('other'))
})

test('INFO counts clients, commands and keys', (t) => {
  const client = new Client()
  const other = client.another()
  client.ask('SET', 'a', 'x', 'EX', 10)
  client.ask('SET', 'b', 'x')
  const info = client.ask('INFO')
  t.true(info.startsWith(`$${info.length - 2 - info.indexOf('\n') - 1}\r\n# Server\r\n`))
  t.regex(info, /^connected_clients:2\r$/m)
  t.regex(info, /^total_commands_processed:3\r$/m)
  t.regex(info, /^db0:keys=2,expires=1,avg_ttl=0\r$/m)
  other.session.close()
  t.is(client.ask('INFO', 'clients'), bulk('# Clients\r\nconnected_clients:1\r\n'))
  t.is(client.ask('INFO', 'nope'), bulk(''))
})

test('keys are found among many, and not when they are gone', (t) => {
  const step = fc.record({
    key: fc.nat({ max: 3000 }),
    command: fc.constantFrom('SET', 'SET', 'SET', 'DEL', 'EXPIRE'),
  })
  const steps = fc.array(step, { minLength: 2000, maxLength: 4000 })
  t.notThrows(() =>
    fc.assert(
      fc.property(steps, (all) => {
        const client = new Client()
        const model = new Map<string, string>()
        for (const [index, { key, command }] of all.entries()) {
          const name = `key ${key}`
          if (command === 'SET') {
            client.ask('SET', name, index)
            model.set(name, String(index))
          } else {
            client.ask(command, name, ...(command === 'EXPIRE' ? [0] : []))
            model.delete(name)
          }
        }
        const names = Array.from({ length: 3001 }, (_, key) => `key ${key}`)
        const values = names.map((name) => model.get(name))
        const expected = values.map((value) => (value === undefined ? NIL : bulk(value)))
        return (
          client.ask('DBSIZE') === `:${model.size}\r\n` &&
          client.ask('MGET', ...names) === `*3001\r\n${expected.join('')}`
        )
      }),
      { numRuns: 10 },
    ),
  )
})

test('a list is an array with two fast ends', (t) => {
  const step = fc.constantFrom('push', 'unshift', 'push', 'unshift', 'pop', 'shift')
  t.notThrows(() =>
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        const list = new List()
        const model: string[] = []
        for (const [index, name] of steps.entries()) {
          if (name === 'push' || name === 'unshift') {
            list[name](String(index))
            model[name](String(index))
          } else if (list[name]() !== model[name]()) return false
        }
        const all = Array.from({ length: list.length }, (_, index) => list.at(index))
        return JSON.stringify(all) === JSON.stringify(model)
      }),
    ),
  )
})
