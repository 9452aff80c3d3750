// Every error that miolo makes, in one place.

import { getSystemErrorName, inspect } from 'node:util'

import { native } from './bridge/binding.ts'
import type { SocketAddress } from './net/address.ts'

/** A message that a Sender could not hand over. mio: `NotifyError`. */
export class NotifyError<Message = unknown> extends Error {
  /** Full: the channel holds as many messages as it may. Closed: the loop is gone. */
  readonly code: 'ERR_MIOLO_NOTIFY_FULL' | 'ERR_MIOLO_NOTIFY_CLOSED'
  /** The message, back. */
  readonly rejected: Message

  /** @internal */
  constructor(code: NotifyError['code'], rejected: Message) {
    super(
      code === 'ERR_MIOLO_NOTIFY_FULL'
        ? 'The channel is full: as many messages wait as notifyCapacity allows'
        : 'The channel is closed: its event loop is gone',
    )
    this.name = 'NotifyError'
    this.code = code
    this.rejected = rejected
  }
}

/** No room for another timeout. mio: `TimerError`. */
export class TimerError extends Error {
  /** As many timeouts are set as `timerCapacity` allows. */
  readonly code = 'ERR_MIOLO_TIMER_OVERFLOW'

  /** @internal */
  constructor(capacity: number) {
    super(`As many timeouts are set as timerCapacity allows: ${capacity}`)
    this.name = 'TimerError'
  }
}

/** What a {@link LoopError} can be about. */
export type LoopErrorCode = keyof typeof LOOP_ERRORS

const LOOP_ERRORS = {
  /** The event loop, socket or server has been closed; the message says which. */
  ERR_MIOLO_CLOSED: 'Closed',
  /** The loop runs, so it cannot be run. */
  ERR_MIOLO_RUNNING: 'The event loop is running already',
  /** A socket belongs to another event loop, and can belong to one only. */
  ERR_MIOLO_REGISTERED_ELSEWHERE: 'The socket is already registered with another event loop',
  /** More sockets than one event loop can hold. */
  ERR_MIOLO_TOO_MANY_REGISTRATIONS: 'The event loop holds as many sockets as it can',
  /** More Senders in other threads than one event loop can hold. */
  ERR_MIOLO_TOO_MANY_SENDERS:
    'As many Senders in other threads are in use as an event loop can hold',
  /** A message from another thread was cloned there, and cannot be read here. It is dropped; the loop can be run again. */
  ERR_MIOLO_UNREADABLE_MESSAGE: 'A message from another thread cannot be read',
  /** A callback returned a promise to `runSync`, which never gives it a turn. */
  ERR_MIOLO_ASYNC_IN_RUN_SYNC: 'A callback returned a promise, which runSync cannot wait for',
  /** A server with `loops` on it was to be served by `runSync`, which gives its other loops no turn. */
  ERR_MIOLO_LOOPS_IN_RUN_SYNC:
    'A server of several loops needs run, as runSync serves one loop alone',
  /** The loop thread has panicked, or its memory was overwritten. The loop can only be closed. */
  ERR_MIOLO_FAILED: 'The event loop has failed',
} as const

/**
 * The event loop, or a socket, cannot do what was asked in the state it is in. These are the errors that miolo makes:
 *
 * | class | code | when |
 * |---|---|---|
 * | `TypeError` | `ERR_INVALID_ARG_TYPE` | an argument has the wrong type |
 * | `TypeError` | `ERR_INVALID_ARG_VALUE` | an argument has the right type and no meaning |
 * | `RangeError` | `ERR_OUT_OF_RANGE` | a number is too small, too large or not a number |
 * | {@link NotifyError} | `ERR_MIOLO_NOTIFY_FULL`, `ERR_MIOLO_NOTIFY_CLOSED` | a message was not taken |
 * | {@link TimerError} | `ERR_MIOLO_TIMER_OVERFLOW` | there are as many timeouts as the capacity allows |
 * | {@link LoopError} | `ERR_MIOLO_…` | the loop cannot do that now |
 * | `Error` | `ECONNREFUSED`, `EEXIST`, … | the system refused, as Node tells it: `errno`, `syscall`, `address`, `port` |
 */
export class LoopError extends Error {
  /** What is in the way. */
  readonly code: LoopErrorCode

  /** @internal */
  constructor(code: LoopErrorCode, detail?: string, options?: ErrorOptions) {
    super(detail === undefined ? LOOP_ERRORS[code] : `${LOOP_ERRORS[code]}: ${detail}`, options)
    this.name = 'LoopError'
    this.code = code
  }
}

/** @internal */
export function invalidType(name: string, expected: string, value: unknown): TypeError {
  const message = `The "${name}" argument must be ${expected}. Received ${describe(value)}`
  return withCode(new TypeError(message), 'ERR_INVALID_ARG_TYPE')
}

/** @internal */
export function invalidValue(name: string, expected: string, value: unknown): TypeError {
  const message = `The "${name}" argument must be ${expected}. Received ${describe(value)}`
  return withCode(new TypeError(message), 'ERR_INVALID_ARG_VALUE')
}

/** @internal */
export function outOfRange(name: string, expected: string, value: unknown): RangeError {
  const message = `The value of "${name}" is out of range. It must be ${expected}. Received ${describe(value)}`
  return withCode(new RangeError(message), 'ERR_OUT_OF_RANGE')
}

/** What has been closed cannot be used. @internal */
export function closed(what: 'event loop' | 'socket' | 'server'): LoopError {
  return new LoopError('ERR_MIOLO_CLOSED', `the ${what} was closed`)
}

/** What was read from shared memory makes no sense: somebody has written there. @internal */
export function corrupt(what: string): LoopError {
  return new LoopError('ERR_MIOLO_FAILED', `its shared memory was overwritten: ${what}`)
}

/** An error of the system's as Node would throw it. @internal */
export function systemError(errno: number, syscall: string, where?: SocketAddress): Error {
  if (errno === native.ALREADY_REGISTERED) return new LoopError('ERR_MIOLO_REGISTERED_ELSEWHERE')
  const code = getSystemErrorName(errno)
  const place = where === undefined ? '' : ` ${where.address}:${where.port}`
  const error = new Error(`${syscall} ${code}${place}`)
  const details = where === undefined ? {} : { address: where.address, port: where.port }
  return Object.assign(error, { errno, code, syscall, ...details })
}

/** Calls each, also where one throws; then throws what the first has thrown. @internal */
export function callEach(calls: Iterable<() => void>): void {
  const errors: unknown[] = []
  for (const call of calls) {
    try {
      call()
    } catch (error) {
      errors.push(error)
    }
  }
  if (errors.length > 0) throw errors[0]
}

function withCode<E extends Error>(error: E, code: string): E {
  return Object.assign(error, { code })
}

function describe(value: unknown): string {
  try {
    const text = inspect(value, { depth: 0, breakLength: Infinity })
    return text.length > 80 ? `${text.slice(0, 80)}…` : text
  } catch {
    return typeof value
  }
}
