use std::fmt;
use std::sync::{Arc, RwLock, Weak};

use mio::event::Source as MioSource;

use crate::EventSet;
use crate::registry::{Core, RegistrationId};
use crate::sync::{read, write};

/// What can be registered with an [`EventLoop`](crate::EventLoop).
///
/// A type that holds a [`Shared`] passes on its source.
pub trait Evented {
    /// The source that the loop watches.
    fn source(&self) -> &Source;
}

/// Any source that mio knows, shared by all clones of this, and by the loop it is registered with.
///
/// [`TcpStream`](crate::tcp::TcpStream) and [`TcpListener`](crate::tcp::TcpListener) are made of it.
/// When the last clone is dropped, the source is deregistered and closed.
///
/// ```
/// use miolo::{EventLoop, EventSet, Handler, PollOpt, Shared, Token};
///
/// struct Idle;
///
/// impl Handler for Idle {
///     type Timeout = ();
///     type Message = ();
/// }
///
/// let socket = Shared::new(mio::net::UdpSocket::bind("127.0.0.1:0".parse().unwrap())?);
/// let event_loop = EventLoop::<Idle>::new()?;
/// event_loop.register(&socket, Token(0), EventSet::readable(), PollOpt::edge())?;
/// println!("bound to {}", socket.with(|socket| socket.local_addr())?);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Shared<S: MioSource> {
    body: Arc<Body<S>>,
    source: Source,
}

impl<S: MioSource + Send + Sync + 'static> Shared<S> {
    /// Takes a source that is not registered with anything.
    pub fn new(io: S) -> Shared<S> {
        let state = State {
            association: None,
            io,
        };
        let body = Arc::new(Body {
            state: RwLock::new(state),
        });
        Shared {
            source: Source { body: body.clone() },
            body,
        }
    }
}

impl<S: MioSource> Shared<S> {
    /// Reads, writes or asks the source for something.
    ///
    /// The closure must not come back to this very source, neither to use it nor to register or
    /// deregister it: that may wait until the closure has returned.
    #[inline]
    pub fn with<R>(&self, f: impl FnOnce(&S) -> R) -> R {
        f(&read(&self.body.state).io)
    }
}

impl<S: MioSource> Clone for Shared<S> {
    fn clone(&self) -> Shared<S> {
        Shared {
            body: Arc::clone(&self.body),
            source: self.source.clone(),
        }
    }
}

impl<S: MioSource> Evented for Shared<S> {
    fn source(&self) -> &Source {
        &self.source
    }
}

impl<S: MioSource + fmt::Debug> fmt::Debug for Shared<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with(|io| io.fmt(f))
    }
}

/// A handle of a source, for the loop. It keeps the source open.
#[derive(Clone)]
pub struct Source {
    pub(crate) body: Arc<AnyBody>,
}

impl Evented for Source {
    fn source(&self) -> &Source {
        self
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").finish_non_exhaustive()
    }
}

pub(crate) type AnyBody = Body<dyn MioSource + Send + Sync>;

/// A source, and where it is registered.
///
/// I/O takes the lock for reading, registration takes it for writing. It is always taken before the
/// lock of a registry's table.
pub(crate) struct Body<S: MioSource + ?Sized> {
    pub(crate) state: RwLock<State<S>>,
}

pub(crate) struct State<S: ?Sized> {
    pub(crate) association: Option<Association>,
    pub(crate) io: S,
}

pub(crate) struct Association {
    pub(crate) registry: Weak<Core>,
    pub(crate) id: RegistrationId,
    /// What mio was asked for; if it is empty, mio does not have the source.
    pub(crate) interest: EventSet,
}

impl AnyBody {
    pub(crate) fn write(
        &self,
    ) -> std::sync::RwLockWriteGuard<'_, State<dyn MioSource + Send + Sync>> {
        write(&self.state)
    }
}

impl<S: MioSource + ?Sized> Drop for Body<S> {
    fn drop(&mut self) {
        let state = self
            .state
            .get_mut()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(association) = state.association.take()
            && let Some(registry) = association.registry.upgrade()
        {
            // Closing the descriptor comes next, whatever this says.
            let _ = registry.forget(&association, &mut state.io);
        }
    }
}
