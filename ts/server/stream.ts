/** A connection as a node:stream. */

import { Duplex } from 'node:stream'

import type { CloseReason } from './connection-handler.ts'
import type { Connection, End } from './connection.ts'

type Done = (error?: Error | null) => void

/** The stream of a connection, which it takes over. */
export class ConnectionStream extends Duplex {
  readonly #conn: Connection
  readonly #end: End<unknown>
  #isPaused = false
  /** Goes on with a write, or with the end, when the connection says `drain`. */
  #waiting: Done | undefined
  #destroyed: Done | undefined
  #error: Error | null = null

  constructor(conn: Connection, end: End<unknown>) {
    super({ allowHalfOpen: end.allowHalfOpen, autoDestroy: true })
    this.#conn = conn
    this.#end = end
    // The stream ends its side by itself, when all that came has been read and all that it wrote has been sent.
    end.allowHalfOpen = true
    const { close } = end.handler
    end.handler = {
      data: (_, chunk) => this.#data(chunk),
      end: () => void this.push(null),
      drain: () => this.#goOn(),
      close: (connection, reason, error) => {
        this.#closed(reason, error)
        return close?.(connection, reason, error)
      },
    }
    if (end.hasEnded) this.push(null)
    if (!end.isOpen) this.destroy()
  }

  override _read(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    this.#conn.resume()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#send(chunk, done)
  }

  #send(chunk: Buffer, done: Done): void {
    // A stream takes writes of any size: what is too much waits here.
    const now = chunk.subarray(0, Math.max(this.#end.room(), 0))
    const rest = chunk.subarray(now.length)
    const goesOn = this.#conn.write(now)
    if (!this.#end.isWritable) done(notConnected())
    else if (goesOn && rest.length === 0) done()
    else {
      this.#waiting = (error) => {
        if (error || rest.length === 0) done(error)
        else this.#send(rest, done)
      }
      this.#end.wantDrain()
    }
  }

  override _final(done: Done): void {
    this.#conn.end()
    if (!this.#end.isOpen) return done()
    this.#waiting = done
    this.#end.wantDrain()
  }

  override _destroy(error: Error | null, done: Done): void {
    if (!this.#end.isOpen) return done(error)
    this.#error = error
    this.#destroyed = done
    // If both sides have ended in order it is about to close by itself.
    if (error !== null || !this.writableFinished || !this.readableEnded) this.#end.close()
  }

  #data(chunk: Buffer): void {
    // A view is gone when this returns; a stream keeps what it gets.
    if (this.push(this.#end.borrow === false ? chunk : Buffer.from(chunk))) return
    this.#isPaused = true
    this.#conn.pause()
  }

  #goOn(error?: Error): void {
    const done = this.#waiting
    this.#waiting = undefined
    done?.(error)
  }

  #closed(reason: CloseReason, error: Error | undefined): void {
    const destroyed = this.#destroyed
    if (destroyed !== undefined) {
      destroyed(this.#error)
      return
    }
    if (reason === 'end') {
      this.#goOn()
      return
    }
    const message = `The connection was closed: ${reason}`
    const failure = error ?? Object.assign(new Error(message), { code: CODES[reason] })
    this.destroy(failure)
    this.#goOn(failure)
  }
}

/** The codes that users of node:net know. */
const CODES: Record<string, string> = {
  reset: 'ECONNRESET',
  idle: 'ETIMEDOUT',
  lifetime: 'ETIMEDOUT',
  overflow: 'ENOBUFS',
  'frame-too-long': 'EMSGSIZE',
  aborted: 'ECONNABORTED',
  shutdown: 'ECONNABORTED',
}

function notConnected(): Error {
  return Object.assign(new Error('The connection has ended'), { code: 'EPIPE' })
}
