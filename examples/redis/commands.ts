// What a client may ask for, and how it is served. The texts of errors are those of Redis: clients look at them.

import {
  LIMITS,
  type Limits,
  type Peer,
  ProtocolError,
  Replies,
  ReplyTooLong,
  Requests,
} from './resp.ts'
import { type Key, List, type Store, type Value } from './store.ts'

/** What all clients have in common. */
export class Service {
  readonly store: Store
  readonly limits: Limits
  readonly replies: Replies
  clients = 0
  commands = 0
  readonly #started = Date.now()

  constructor(store: Store, limits: Partial<Limits> = {}) {
    this.store = store
    this.limits = { ...LIMITS, ...limits }
    this.replies = new Replies(this.limits)
  }

  /** Serves a client from now on. */
  open(peer: Peer): Session {
    return new Session(this, peer)
  }

  /** What INFO says, by section. */
  info(): Record<string, Record<string, string | number>> {
    const { size, expiring } = this.store
    return {
      Server: {
        // What it comes closest to.
        redis_version: '5.0.0',
        redis_mode: 'standalone',
        process_id: process.pid,
        uptime_in_seconds: Math.floor((Date.now() - this.#started) / 1000),
      },
      Clients: { connected_clients: this.clients },
      Memory: { used_memory: process.memoryUsage.rss() },
      Persistence: { loading: 0 },
      Stats: { total_commands_processed: this.commands },
      Replication: { role: 'master', connected_slaves: 0 },
      Keyspace: size === 0 ? {} : { db0: `keys=${size},expires=${expiring},avg_ttl=0` },
    }
  }
}

/** One client. Whoever has its connection calls these methods; the replies go to its Peer. */
export class Session {
  readonly service: Service
  readonly store: Store
  readonly requests: Requests
  readonly replies: Replies
  readonly #peer: Peer
  /** The client has to read first. */
  #waits = false
  /** The client has sent its last byte. */
  #halfClosed = false
  /** Nothing is answered any more. */
  #over = false

  constructor(service: Service, peer: Peer) {
    this.service = service
    this.store = service.store
    this.requests = new Requests(service.limits)
    this.replies = service.replies
    this.#peer = peer
    service.clients++
  }

  /** Bytes have come. They are used up, or copied, when this returns. */
  receive(chunk: Buffer): void {
    if (this.#over) return
    this.requests.push(chunk)
    if (this.#waits) this.requests.keep()
    else this.#serve()
  }

  /** The client has read what was in the way. */
  drain(): void {
    if (!this.#waits) return
    this.#serve()
    // Also when it is over: a paused connection does not see its peer's end.
    if (!this.#waits) this.#peer.resume()
  }

  /** The client has sent its last byte, and may still read. */
  end(): void {
    this.#halfClosed = true
    if (!this.#waits && !this.#over) this.#finish()
  }

  /** The connection is gone. */
  close(): void {
    this.#over = true
    this.service.clients--
  }

  /** Ends the connection behind the replies. */
  quit(): void {
    this.#over = true
  }

  #serve(): void {
    const { requests, replies } = this
    replies.open(this.#peer)
    try {
      this.#answerAll()
      replies.flush()
    } catch (error) {
      if (!(error instanceof ReplyTooLong)) throw error
      this.#over = true
      return this.#peer.abort()
    }
    requests.keep()
    this.#waits = replies.blocked
    if (this.#over || (this.#halfClosed && !this.#waits)) this.#finish()
    else if (this.#waits) this.#peer.pause()
  }

  #finish(): void {
    this.#over = true
    this.#peer.end()
  }

  #answerAll(): void {
    const { requests, replies } = this
    try {
      while (!this.#over && !replies.blocked && requests.next()) this.#answer()
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      replies.error(`ERR ${error.message}`)
      this.#over = true
    }
  }

  #answer(): void {
    const { requests, replies } = this
    this.service.commands++
    const command = commandOf(requests)
    if (command === null) return replies.error(unknownCommand(requests))
    const { arity, run } = command
    if (arity > 0 ? requests.count !== arity : requests.count < -arity) {
      return replies.error(wrongArity(command.name))
    }
    try {
      run(this)
    } catch (error) {
      if (error instanceof CommandError) replies.error(error.message)
      // More members than V8 allows a Set or a Map to have.
      else if (error instanceof RangeError) replies.error(NO_MEMORY)
      else throw error
    }
  }

  /** The key that an argument names. */
  find(index: number): Key | null {
    const { bytes, starts, ends } = this.requests
    return this.store.find(bytes, starts[index], ends[index])
  }

  /** Adds the key that an argument names, which is not there. */
  add(index: number, value: Value): Key {
    const { bytes, starts, ends } = this.requests
    return this.store.add(bytes, starts[index], ends[index], value)
  }

  /** Sets the key that an argument names, `key`, if it is there. */
  put(index: number, key: Key | null, value: string): Key {
    if (key === null) return this.add(index, value)
    key.value = value
    return key
  }

  /** An argument that must be an integer. */
  integer(index: number): number | bigint {
    return integerOf(this.requests.text(index))
  }
}

/** What a command throws instead of replying. */
class CommandError extends Error {}

const WRONG_TYPE = new CommandError(
  'WRONGTYPE Operation against a key holding the wrong kind of value',
)
const NOT_AN_INTEGER = new CommandError('ERR value is not an integer or out of range')
const OVERFLOW = new CommandError('ERR increment or decrement would overflow')
const NOT_A_COUNT = new CommandError('ERR value is out of range, must be positive')
const SYNTAX = new CommandError('ERR syntax error')
const NO_MEMORY = "OOM command not allowed when used memory > 'maxmemory'."

function wrongArity(name: string): string {
  return `ERR wrong number of arguments for '${name}' command`
}

function invalidExpiry(name: string): CommandError {
  return new CommandError(`ERR invalid expire time in '${name}' command`)
}

/** Clients that try newer commands, such as HELLO, look for this text, and go on without. */
function unknownCommand(requests: Requests): string {
  let rest = ''
  for (let index = 1; index < requests.count && rest.length < 128; index++) {
    rest += `'${printable(requests, index, 128 - rest.length)}' `
  }
  const name = printable(requests, 0, 128)
  return `ERR unknown command '${name}', with args beginning with: ${rest}`
}

/** As much of an argument as C would print. */
function printable({ bytes, starts, ends }: Requests, index: number, length: number): string {
  const start = starts[index]
  const text = bytes.toString('latin1', start, Math.min(ends[index], start + length))
  const nul = text.indexOf('\0')
  return nul < 0 ? text : text.slice(0, nul)
}

const OK = Buffer.from('+OK\r\n')
const PONG = Buffer.from('+PONG\r\n')
const NIL = Buffer.from('$-1\r\n')
const NO_ARRAY = Buffer.from('*-1\r\n')
const NONE = Buffer.from('+none\r\n')

type Run = (client: Session) => void

interface Command {
  name: string
  /** How many arguments it takes, its name included; at least so many if it is below 0. */
  arity: number
  run: Run
}

const commands: Record<string, [arity: number, run: Run]> = {
  // The connection.
  ping: [-1, ping],
  echo: [2, ({ requests, replies }) => replies.bulk(requests.text(1))],
  quit: [-1, quit],
  // A web page that has its browser post commands here, in lines of what should be HTTP.
  post: [-1, (client) => client.quit()],
  'host:': [-1, (client) => client.quit()],
  select: [2, select],
  client: [-2, client],
  // It would be a description of all these; no client fails for want of it.
  command: [-1, ({ replies }) => replies.array(0)],
  config: [-2, config],
  info: [-1, info],

  // Keys.
  del: [-2, del],
  exists: [-2, exists],
  type: [2, type],
  expire: [-3, (client) => expire(client, 'expire', 1000)],
  pexpire: [-3, (client) => expire(client, 'pexpire', 1)],
  ttl: [2, (client) => ttl(client, 1000)],
  pttl: [2, (client) => ttl(client, 1)],
  persist: [2, persist],
  dbsize: [1, ({ store, replies }) => replies.integer(store.size)],
  flushall: [-1, flush],
  flushdb: [-1, flush],

  // Strings.
  get: [2, get],
  set: [-3, set],
  mget: [-2, mget],
  mset: [-3, mset],
  incr: [2, (client) => increment(client, 1)],
  decr: [2, (client) => increment(client, -1)],
  incrby: [3, (client) => increment(client, client.integer(2))],
  decrby: [3, (client) => increment(client, negative(client.integer(2)))],

  // Lists.
  lpush: [-3, lpush],
  rpush: [-3, rpush],
  lpop: [-2, (client) => pop(client, 'lpop', (list) => list.shift())],
  rpop: [-2, (client) => pop(client, 'rpop', (list) => list.pop())],
  llen: [2, (client) => client.replies.integer(listOf(client.find(1))?.length ?? 0)],
  lrange: [4, lrange],

  // Sets.
  sadd: [-3, sadd],
  srem: [-3, srem],
  scard: [2, (client) => client.replies.integer(setOf(client.find(1))?.size ?? 0)],
  smembers: [2, smembers],

  // Hashes.
  hset: [-4, hset],
  hget: [3, hget],
  hdel: [-3, hdel],
  hgetall: [2, hgetall],
}

/** The letters of a name, as one number of 64 bits in two: no name is longer than that. */
interface Letters {
  high: number
  low: number
}

const LONGEST_NAME = 8
const PLACES = 256

/** Commands at the places that their names' letters give, or behind. */
const table = new Array<(Command & Letters) | null>(PLACES).fill(null)
for (const [name, [arity, run]] of Object.entries(commands)) {
  let high = 0
  let low = 0
  for (const letter of Buffer.from(name)) {
    high = (high << 8) | (low >>> 24)
    low = (low << 8) | letter
  }
  let place = placeOf(high, low)
  while (table[place] !== null) place = (place + 1) % PLACES
  table[place] = { name, arity, run, high, low }
}

function placeOf(high: number, low: number): number {
  return Math.imul(high ^ low, 0x9e3779b1) >>> 24
}

/** Finds a command by the bytes of its name, of which no string is made. */
function commandOf({ bytes, starts, ends }: Requests): Command | null {
  const start = starts[0]
  const end = ends[0]
  if (end - start > LONGEST_NAME) return null
  let high = 0
  let low = 0
  for (let at = start; at < end; at++) {
    high = (high << 8) | (low >>> 24)
    // In lower case; what is no letter does not become one.
    low = (low << 8) | bytes[at] | 0x20
  }
  for (let place = placeOf(high, low); ; place = (place + 1) % PLACES) {
    const command = table[place]
    if (command === null || (command.low === low && command.high === high)) return command
  }
}

function ping({ requests, replies }: Session): void {
  if (requests.count === 1) replies.encoded(PONG)
  else if (requests.count === 2) replies.bulk(requests.text(1))
  else replies.error(wrongArity('ping'))
}

function quit(client: Session): void {
  client.replies.encoded(OK)
  client.quit()
}

function select(client: Session): void {
  const index = client.integer(1)
  if (index === 0) client.replies.encoded(OK)
  else client.replies.error('ERR DB index is out of range')
}

/** The names by which clients call themselves are of no use to anybody here. */
function client({ requests, replies }: Session): void {
  if (requests.is(1, 'setname') || requests.is(1, 'setinfo')) replies.encoded(OK)
  else replies.error(unknownSubcommand(requests, 'CLIENT'))
}

function unknownSubcommand(requests: Requests, name: string): string {
  return `ERR unknown subcommand '${printable(requests, 1, 128)}'. Try ${name} HELP.`
}

/** Settings that clients want to know; none can be changed. */
function config({ requests, replies, service }: Session): void {
  if (!requests.is(1, 'get')) return replies.error(unknownSubcommand(requests, 'CONFIG'))
  if (requests.count < 3) return replies.error(wrongArity('config|get'))
  const settings = {
    appendonly: 'no',
    databases: '1',
    maxmemory: '0',
    'proto-max-bulk-len': String(service.limits.maxBulk),
    save: '',
  }
  const asked = new Set<string>()
  for (let index = 2; index < requests.count; index++) {
    asked.add(requests.text(index).toLowerCase())
  }
  const found = Object.entries(settings).filter(([name]) => asked.has(name) || asked.has('*'))
  replies.array(2 * found.length)
  for (const text of found.flat()) replies.bulk(text)
}

function info({ requests, replies, service }: Session): void {
  if (requests.count > 2) throw SYNTAX
  const wanted = requests.count === 1 ? 'all' : requests.text(1).toLowerCase()
  const all = ['all', 'default', 'everything'].includes(wanted)
  const sections = Object.entries(service.info())
    .filter(([name]) => all || name.toLowerCase() === wanted)
    .map(([name, fields]) => {
      const lines = Object.entries(fields).map(([field, value]) => `${field}:${value}\r\n`)
      return `# ${name}\r\n${lines.join('')}`
    })
  replies.bulk(sections.join('\r\n'))
}

function del(client: Session): void {
  let count = 0
  for (let index = 1; index < client.requests.count; index++) {
    const key = client.find(index)
    if (key === null) continue
    client.store.delete(key)
    count++
  }
  client.replies.integer(count)
}

function exists(client: Session): void {
  let count = 0
  for (let index = 1; index < client.requests.count; index++) {
    if (client.find(index) !== null) count++
  }
  client.replies.integer(count)
}

function type(client: Session): void {
  const value = client.find(1)?.value
  let name = NONE
  if (typeof value === 'string') name = Buffer.from('+string\r\n')
  else if (value instanceof List) name = Buffer.from('+list\r\n')
  else if (value instanceof Set) name = Buffer.from('+set\r\n')
  else if (value instanceof Map) name = Buffer.from('+hash\r\n')
  client.replies.encoded(name)
}

/** The milliseconds of a time in `unit`s of so many. Those to come must be such that adding them to a clock is exact. */
function milliseconds(time: number | bigint, unit: number, name: string): number {
  const ms = Number(time) * unit
  if (ms > 2 ** 52 || ms < -(2 ** 63)) throw invalidExpiry(name)
  return ms
}

function expire(client: Session, name: string, unit: number): void {
  const { store } = client
  const allows = expireOptions(client.requests)
  const ms = milliseconds(client.integer(2), unit, name)
  const key = client.find(1)
  const expires = key !== null && allows(ms, store.remaining(key))
  if (expires) store.expireIn(key, ms)
  client.replies.integer(expires ? 1 : 0)
}

/** What EXPIRE's options say of a key that is to go in `ms`, and would go in `current`; −1: it stays. */
function expireOptions(requests: Requests): (ms: number, current: number) => boolean {
  let [nx, xx, gt, lt] = [false, false, false, false]
  for (let index = 3; index < requests.count; index++) {
    if (requests.is(index, 'nx')) nx = true
    else if (requests.is(index, 'xx')) xx = true
    else if (requests.is(index, 'gt')) gt = true
    else if (requests.is(index, 'lt')) lt = true
    else throw new CommandError(`ERR Unsupported option ${printable(requests, index, 128)}`)
  }
  if (nx && (xx || gt || lt)) throw incompatible('NX and XX, GT or LT')
  if (gt && lt) throw incompatible('GT and LT')
  return (ms, current) => {
    const stays = current < 0
    if (nx && !stays) return false
    if (xx && stays) return false
    // What stays goes later than all that goes.
    if (gt && (stays || ms <= current)) return false
    return !lt || stays || ms < current
  }
}

function incompatible(options: string): CommandError {
  return new CommandError(`ERR ${options} options at the same time are not compatible`)
}

function ttl(client: Session, unit: number): void {
  const key = client.find(1)
  const ms = key === null ? -2 : client.store.remaining(key)
  client.replies.integer(ms < 0 ? ms : Math.round(ms / unit))
}

function persist(client: Session): void {
  const key = client.find(1)
  client.replies.integer(key !== null && client.store.persist(key) ? 1 : 0)
}

function flush({ requests, replies, store }: Session): void {
  if (requests.count > 2) throw SYNTAX
  if (requests.count === 2 && !requests.is(1, 'async') && !requests.is(1, 'sync')) throw SYNTAX
  store.clear()
  replies.encoded(OK)
}

function stringOf(key: Key | null): string | null {
  if (key === null) return null
  if (typeof key.value !== 'string') throw WRONG_TYPE
  return key.value
}

function replyString({ replies }: Session, text: string | null | undefined): void {
  if (text == null) replies.encoded(NIL)
  else replies.bulk(text)
}

function get(client: Session): void {
  replyString(client, stringOf(client.find(1)))
}

function set(client: Session): void {
  const { requests, store } = client
  if (requests.count > 3) return setAs(client)
  const key = client.find(1)
  client.put(1, key, requests.text(2))
  if (key !== null) store.persist(key)
  client.replies.encoded(OK)
}

/** SET with options. */
function setAs(client: Session): void {
  const { requests, store, replies } = client
  /** NX and XX: whether the key has to be there. */
  let there: boolean | undefined
  /** Where the time of EX or PX stands, and its unit. */
  let time = 0
  let unit = 0
  let keepsTime = false
  let gets = false
  for (let index = 3; index < requests.count; index++) {
    if (requests.is(index, 'nx') && there !== true) there = false
    else if (requests.is(index, 'xx') && there !== false) there = true
    else if (requests.is(index, 'get')) gets = true
    else if (requests.is(index, 'keepttl') && unit === 0) keepsTime = true
    else if (
      (requests.is(index, 'ex') || requests.is(index, 'px')) &&
      unit === 0 &&
      !keepsTime &&
      index + 1 < requests.count
    ) {
      unit = requests.is(index, 'ex') ? 1000 : 1
      time = ++index
    } else throw SYNTAX
  }
  const ms = unit === 0 ? 0 : milliseconds(client.integer(time), unit, 'set')
  if (unit !== 0 && ms <= 0) throw invalidExpiry('set')

  const old = client.find(1)
  const oldValue = gets ? stringOf(old) : null
  const sets = there === undefined || there === (old !== null)
  if (sets) {
    const key = client.put(1, old, requests.text(2))
    if (unit !== 0) store.expireIn(key, ms)
    else if (!keepsTime) store.persist(key)
  }
  if (gets) replyString(client, oldValue)
  else replies.encoded(sets ? OK : NIL)
}

function mget(client: Session): void {
  const { count } = client.requests
  client.replies.array(count - 1)
  for (let index = 1; index < count; index++) {
    const value = client.find(index)?.value
    replyString(client, typeof value === 'string' ? value : null)
  }
}

function mset(client: Session): void {
  const { requests, replies, store } = client
  if (requests.count % 2 === 0) return replies.error(wrongArity('mset'))
  for (let index = 1; index < requests.count; index += 2) {
    const key = client.find(index)
    client.put(index, key, requests.text(index + 1))
    if (key !== null) store.persist(key)
  }
  replies.encoded(OK)
}

function increment(client: Session, by: number | bigint): void {
  const key = client.find(1)
  const value = sum(integerOf(stringOf(key) ?? '0'), by)
  client.put(1, key, String(value))
  client.replies.integer(value)
}

/** An integer of 64 bits: a number where that is exact, a bigint beyond. */
function integerOf(text: string): number | bigint {
  const { length } = text
  const negative = text.charCodeAt(0) === 0x2d
  const first = negative ? 1 : 0
  if (length > 15) return longIntegerOf(text)
  if (length === first) throw NOT_AN_INTEGER
  let number = 0
  for (let at = first; at < length; at++) {
    const digit = text.charCodeAt(at) - 0x30
    if (digit < 0 || digit > 9) throw NOT_AN_INTEGER
    number = number * 10 + digit
  }
  const leads = text.charCodeAt(first) === 0x30
  if (leads && length > 1) throw NOT_AN_INTEGER
  return negative ? -number : number
}

function longIntegerOf(text: string): bigint {
  if (text.length > 20 || !/^-?[1-9][0-9]*$/.test(text)) throw NOT_AN_INTEGER
  const integer = BigInt(text)
  if (!is64Bits(integer)) throw NOT_AN_INTEGER
  return integer
}

function is64Bits(integer: bigint): boolean {
  return BigInt.asIntN(64, integer) === integer
}

function sum(a: number | bigint, b: number | bigint): number | bigint {
  if (typeof a === 'number' && typeof b === 'number') {
    const short = a + b
    if (Number.isSafeInteger(short)) return short
  }
  const long = BigInt(a) + BigInt(b)
  if (!is64Bits(long)) throw OVERFLOW
  return long
}

function negative(integer: number | bigint): number | bigint {
  if (typeof integer === 'number') return -integer
  if (!is64Bits(-integer)) throw new CommandError('ERR decrement would overflow')
  return -integer
}

function listOf(key: Key | null): List | null {
  if (key === null) return null
  if (key.value instanceof List) return key.value
  throw WRONG_TYPE
}

function setOf(key: Key | null): Set<string> | null {
  if (key === null) return null
  if (key.value instanceof Set) return key.value
  throw WRONG_TYPE
}

function hashOf(key: Key | null): Map<string, string> | null {
  if (key === null) return null
  if (key.value instanceof Map) return key.value
  throw WRONG_TYPE
}

function lpush(client: Session): void {
  const { requests, replies } = client
  const list = listOf(client.find(1) ?? client.add(1, new List()))!
  for (let index = 2; index < requests.count; index++) list.unshift(requests.text(index))
  replies.integer(list.length)
}

function rpush(client: Session): void {
  const { requests, replies } = client
  const list = listOf(client.find(1) ?? client.add(1, new List()))!
  for (let index = 2; index < requests.count; index++) list.push(requests.text(index))
  replies.integer(list.length)
}

function pop(client: Session, name: string, from: (list: List) => string | undefined): void {
  const { requests, replies } = client
  if (requests.count > 3) return replies.error(wrongArity(name))
  const count = requests.count === 3 ? countOf(requests.text(2)) : undefined
  const key = client.find(1)
  const list = listOf(key)
  if (count === undefined) replyString(client, list === null ? null : from(list))
  else if (list === null) replies.encoded(NO_ARRAY)
  else {
    const popped = Math.min(count, list.length)
    replies.array(popped)
    for (let index = 0; index < popped; index++) replies.bulk(from(list) as string)
  }
  // There are no empty lists, sets or hashes; what loses its last member is no key any more.
  if (key !== null && list?.length === 0) client.store.delete(key)
}

function countOf(text: string): number {
  if (!/^(0|[1-9][0-9]{0,18})$/.test(text) || !is64Bits(BigInt(text))) throw NOT_A_COUNT
  return Number(text)
}

function lrange(client: Session): void {
  const { replies } = client
  const from = Number(client.integer(2))
  const to = Number(client.integer(3))
  const list = listOf(client.find(1))
  if (list === null) return replies.array(0)
  const { length } = list
  const first = from < 0 ? Math.max(0, length + from) : from
  const last = Math.min(to < 0 ? length + to : to, length - 1)
  replies.array(Math.max(0, last - first + 1))
  for (let index = first; index <= last; index++) replies.bulk(list.at(index) as string)
}

function sadd(client: Session): void {
  const { requests, replies } = client
  const members = setOf(client.find(1) ?? client.add(1, new Set()))!
  const { size } = members
  for (let index = 2; index < requests.count; index++) members.add(requests.text(index))
  replies.integer(members.size - size)
}

function srem(client: Session): void {
  removeMembers(client, setOf)
}

function hdel(client: Session): void {
  removeMembers(client, hashOf)
}

function removeMembers(
  client: Session,
  membersOf: (key: Key | null) => Set<string> | Map<string, string> | null,
): void {
  const { requests, replies, store } = client
  const key = client.find(1)
  const members = membersOf(key)
  if (key === null || members === null) return replies.integer(0)
  const { size } = members
  for (let index = 2; index < requests.count; index++) members.delete(requests.text(index))
  replies.integer(size - members.size)
  if (members.size === 0) store.delete(key)
}

function smembers(client: Session): void {
  const members = setOf(client.find(1))
  client.replies.array(members?.size ?? 0)
  for (const member of members ?? []) client.replies.bulk(member)
}

function hset(client: Session): void {
  const { requests, replies } = client
  if (requests.count % 2 !== 0) return replies.error(wrongArity('hset'))
  const fields = hashOf(client.find(1) ?? client.add(1, new Map()))!
  const { size } = fields
  for (let index = 2; index < requests.count; index += 2) {
    fields.set(requests.text(index), requests.text(index + 1))
  }
  replies.integer(fields.size - size)
}

function hget(client: Session): void {
  replyString(client, hashOf(client.find(1))?.get(client.requests.text(2)))
}

function hgetall(client: Session): void {
  const fields = hashOf(client.find(1))
  client.replies.array(2 * (fields?.size ?? 0))
  for (const [field, value] of fields ?? []) {
    client.replies.bulk(field)
    client.replies.bulk(value)
  }
}
