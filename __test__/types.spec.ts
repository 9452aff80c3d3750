/** What TypeScript infers; the checks are made by `npm run typecheck`. */

import test from 'ava'
import { expectTypeOf } from 'expect-type'
import {
  type AddressLike,
  connect,
  type Connection,
  type ConnectionHandler,
  EventLoop,
  type EventLoopConfig,
  EventSet,
  type Evented,
  type Handler,
  type LoopError,
  type LoopErrorCode,
  type LoopMetrics,
  type NotifyError,
  PollOpt,
  Sender,
  type ServerHandler,
  type SharedSender,
  type SocketAddress,
  TcpListener,
  TcpServer,
  type TcpStream,
  type TimeoutHandle,
  type TimerError,
  type Token,
} from 'miolo'

interface Job {
  id: number
}

// Never called: only its types are of interest.
const loops = () => ({ typed: new EventLoop<Job, string>(), untyped: new EventLoop() })
type Typed = ReturnType<typeof loops>['typed']
type Untyped = ReturnType<typeof loops>['untyped']

test('a loop without type arguments takes anything', (t) => {
  expectTypeOf<Untyped>().toEqualTypeOf<EventLoop<unknown, unknown>>()
  expectTypeOf<Untyped['timeoutMs']>().parameters.toEqualTypeOf<
    [timeout: unknown, delayMs: number]
  >()
  expectTypeOf<ReturnType<Untyped['channel']>>().toEqualTypeOf<Sender<unknown>>()
  t.pass()
})

test('what timeouts carry and Senders send is the loop’s', (t) => {
  expectTypeOf<Typed['timeoutMs']>().parameters.toEqualTypeOf<[timeout: Job, delayMs: number]>()
  expectTypeOf<Typed['timeoutMs']>().returns.toEqualTypeOf<TimeoutHandle>()
  expectTypeOf<ReturnType<Typed['channel']>>().toEqualTypeOf<Sender<string>>()
  expectTypeOf<Sender<string>['send']>().parameters.toEqualTypeOf<[message: string]>()
  t.pass()
})

test('callbacks written in place know what they get', (t) => {
  const inferred = (loop: Typed) =>
    loop.run({
      ready(loop, token, events) {
        expectTypeOf(loop).toEqualTypeOf<EventLoop<Job, string>>()
        expectTypeOf(token).toEqualTypeOf<Token>()
        expectTypeOf(events).toEqualTypeOf<EventSet>()
      },
      notify(loop, message) {
        expectTypeOf(loop).toEqualTypeOf<EventLoop<Job, string>>()
        expectTypeOf(message).toEqualTypeOf<string>()
      },
      timeout(loop, timeout) {
        expectTypeOf(timeout).toEqualTypeOf<Job>()
        expectTypeOf(loop.timeoutMs(timeout, 1)).toEqualTypeOf<TimeoutHandle>()
      },
      interrupted(loop) {
        expectTypeOf(loop).toEqualTypeOf<EventLoop<Job, string>>()
      },
      tick(loop) {
        expectTypeOf(loop.channel()).toEqualTypeOf<Sender<string>>()
      },
    })
  expectTypeOf(inferred).returns.toEqualTypeOf<Promise<void>>()
  t.pass()
})

test('a class can implement Handler', (t) => {
  class Server implements Handler<Job, string> {
    seen = 0
    ready(loop: EventLoop<Job, string>, token: Token, events: EventSet) {
      if (events.isReadable()) this.seen += token
      loop.shutdown()
    }
    async notify() {}
  }
  expectTypeOf<Server>().toExtend<Handler<Job, string>>()
  expectTypeOf<Server>().toExtend<Parameters<Typed['runSync']>[0]>()
  // A handler that looks at nothing fits every loop.
  expectTypeOf<{ tick(): void }>().toExtend<Handler<Job, string>>()
  expectTypeOf<object>().toExtend<Handler<Job, string>>()
  t.pass()
})

test('wrong use does not compile', (t) => {
  const wrong = (loop: Typed, stream: TcpStream, shared: SharedSender) => {
    // @ts-expect-error the payload is a Job
    loop.timeoutMs('text', 1)
    // @ts-expect-error payload first, delay second
    loop.timeoutMs(1, { id: 1 })
    // @ts-expect-error a handle is not any number
    loop.clearTimeout(1)
    // @ts-expect-error messages are strings
    loop.channel().send(1)
    // @ts-expect-error the callback gets a string
    void loop.run({ notify: (_: unknown, message: number) => message })
    // @ts-expect-error there is no such callback
    void loop.run({ writable() {} })
    // @ts-expect-error a token is a number
    loop.register(stream, 'token', EventSet.readable(), PollOpt.edge())
    // @ts-expect-error a source is a listener or a stream
    loop.register({}, 1, EventSet.readable(), PollOpt.edge())
    // @ts-expect-error a source is a listener or a stream
    loop.deregister(loop)
    // @ts-expect-error what Sender.from takes, share returned
    Sender.from(42)
    // @ts-expect-error what Sender.from takes, share returned
    Sender.from({})
    // @ts-expect-error an interest is an EventSet
    loop.register(stream, 1, 1, PollOpt.edge())
    // @ts-expect-error they are not the same
    loop.register(stream, 1, PollOpt.edge(), EventSet.readable())
    const made = [
      // @ts-expect-error there is no such driver
      new EventLoop({ driver: 'native' }),
      // @ts-expect-error there is no such setting
      new EventLoop({ notify_capacity: 1 }),
      // @ts-expect-error sets are not made
      new EventSet(1),
      // @ts-expect-error Senders are had from channel or from
      new Sender(),
      // @ts-expect-error listeners are bound
      new TcpListener(),
    ]
    expectTypeOf(made).toBeArray()
    // @ts-expect-error sets do not change
    EventSet.readable().bits = 2
    // @ts-expect-error an EventSet is not joined with a PollOpt
    EventSet.readable().union(PollOpt.edge())
    // @ts-expect-error read reads into bytes
    stream.read(new Int32Array(1))
    return Sender.from<Job>(shared)
  }
  expectTypeOf(wrong).returns.toEqualTypeOf<Sender<Job>>()
  t.pass()
})

test('handles, addresses, errors and metrics', (t) => {
  expectTypeOf<TimeoutHandle>().toExtend<number>()
  expectTypeOf<number>().not.toExtend<TimeoutHandle>()
  expectTypeOf<Typed['clearTimeout']>().parameters.toEqualTypeOf<[handle: TimeoutHandle]>()
  expectTypeOf<Token>().toEqualTypeOf<number>()
  expectTypeOf<TcpStream>().toExtend<Evented>()
  expectTypeOf<TcpListener>().toExtend<Evented>()
  expectTypeOf<object>().not.toExtend<Evented>()
  expectTypeOf<Parameters<typeof TcpStream.connect>[0]>().toEqualTypeOf<AddressLike>()
  expectTypeOf<ReturnType<TcpListener['accept']>>().toEqualTypeOf<{
    stream: TcpStream
    peer: SocketAddress
  } | null>()
  expectTypeOf<ReturnType<TcpStream['read']>>().toEqualTypeOf<number | null>()
  expectTypeOf<SocketAddress['family']>().toEqualTypeOf<'IPv4' | 'IPv6'>()
  expectTypeOf<NotifyError<Job>['rejected']>().toEqualTypeOf<Job>()
  expectTypeOf<NotifyError['code']>().toEqualTypeOf<
    'ERR_MIOLO_NOTIFY_FULL' | 'ERR_MIOLO_NOTIFY_CLOSED'
  >()
  expectTypeOf<TimerError['code']>().toExtend<'ERR_MIOLO_TIMER_OVERFLOW'>()
  expectTypeOf<LoopError['code']>().toEqualTypeOf<LoopErrorCode>()
  expectTypeOf<'ERR_MIOLO_CLOSED'>().toExtend<LoopErrorCode>()
  expectTypeOf<LoopMetrics['events']>().toEqualTypeOf<
    Record<'ready' | 'notify' | 'timeout' | 'interrupted', number>
  >()
  expectTypeOf<EventLoopConfig['driver']>().toEqualTypeOf<
    'auto' | 'thread' | 'embedded' | undefined
  >()
  expectTypeOf<object>().toExtend<EventLoopConfig>()
  t.pass()
})

interface Session {
  user: string
}

test('the state of a connection is of the type that its server, handler or connect names', (t) => {
  const typed = (loop: EventLoop) => {
    const server = new TcpServer<Session>(loop, {
      open(conn) {
        expectTypeOf(conn).toEqualTypeOf<Connection<Session>>()
        conn.state = { user: 'Ada' }
      },
      data: (conn) => expectTypeOf(conn.state.user).toEqualTypeOf<string>(),
      drain: (conn) => expectTypeOf(conn.state).toEqualTypeOf<Session>(),
      end: (conn) => expectTypeOf(conn.state).toEqualTypeOf<Session>(),
      close: (conn) => expectTypeOf(conn.state).toEqualTypeOf<Session>(),
    })
    for (const conn of server.connections) expectTypeOf(conn.state).toEqualTypeOf<Session>()
    const handler: ConnectionHandler<Session> = {
      data: (conn) => expectTypeOf(conn.state).toEqualTypeOf<Session>(),
    }
    // It need not be said again where the handler says it.
    expectTypeOf(new TcpServer(loop, handler)).toEqualTypeOf<TcpServer<Session>>()
    expectTypeOf(connect(loop, '127.0.0.1:1', handler)).resolves.toEqualTypeOf<
      Connection<Session>
    >()
    return connect<Session>(loop, '127.0.0.1:1', {
      open: (conn) => expectTypeOf(conn.state).toEqualTypeOf<Session>(),
    })
  }
  expectTypeOf(typed).returns.resolves.toEqualTypeOf<Connection<Session>>()
  expectTypeOf<Connection['state']>().toEqualTypeOf<unknown>()
  expectTypeOf<TcpServer>().toEqualTypeOf<TcpServer<unknown>>()
  expectTypeOf<ServerHandler<Session>>().toExtend<ConnectionHandler<Session>>()
  t.pass()
})

test('wrong use of a state does not compile', (t) => {
  const wrong = async (loop: EventLoop, handler: ConnectionHandler<Session>) => {
    const server = new TcpServer<Session>(loop, {
      open(conn) {
        // @ts-expect-error it is no text
        conn.state = 'Ada'
        // @ts-expect-error its user is a text
        conn.state = { user: 1 }
        // @ts-expect-error it has no such property
        return conn.state.name
      },
    })
    // @ts-expect-error connections have the state of their server
    const [conn]: Iterable<Connection<number>> = server.connections
    // @ts-expect-error the handler is of connections with another state
    const other = new TcpServer<number>(loop, handler)
    // @ts-expect-error the handler is of connections with another state
    await connect<number>(loop, '127.0.0.1:1', handler)
    // @ts-expect-error without a type it has to be looked at first
    ;(await connect(loop, '127.0.0.1:1')).state.user.trim()
    return [conn, other]
  }
  expectTypeOf(wrong).returns.resolves.toBeArray()
  t.pass()
})

test('a loop is Disposable, and ref and unref can be chained', (t) => {
  expectTypeOf<Typed>().toExtend<Disposable>()
  expectTypeOf<ReturnType<Typed['ref']>>().toEqualTypeOf<Typed>()
  expectTypeOf<ReturnType<Typed['unref']>>().toEqualTypeOf<Typed>()
  expectTypeOf<ReturnType<Typed['run']>>().toEqualTypeOf<Promise<void>>()
  expectTypeOf<ReturnType<Typed['runOnce']>>().toEqualTypeOf<Promise<void>>()
  expectTypeOf<ReturnType<Typed['runSync']>>().toEqualTypeOf<void>()
  t.pass()
})
