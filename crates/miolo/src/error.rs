use std::io;

/// What an [`EventLoop`](crate::EventLoop) itself refuses, as opposed to the system.
///
/// It is found inside the [`io::Error`] that the loop's methods return:
///
/// ```
/// use miolo::{Error, EventLoop, Handler, tcp::TcpListener};
/// # struct Idle;
/// # impl Handler for Idle {
/// #     type Timeout = ();
/// #     type Message = ();
/// # }
///
/// let event_loop = EventLoop::<Idle>::new()?;
/// let listener = TcpListener::bind(&"127.0.0.1:0".parse().unwrap())?;
///
/// let error = event_loop.deregister(&listener).unwrap_err();
/// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
/// let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
/// assert!(matches!(cause, Some(Error::NotRegistered)));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The source is registered with this loop already. Kind `AlreadyExists`.
    #[error("the source is already registered with this event loop")]
    AlreadyRegistered,

    /// The source, or a clone of it, is registered with another loop. Kind `Other`.
    #[error("the source is already registered with another event loop")]
    RegisteredElsewhere,

    /// The source is not registered. Kind `NotFound`.
    #[error("the source is not registered with this event loop")]
    NotRegistered,

    /// The loop has been dropped. Kind `NotConnected`.
    #[error("the event loop is closed")]
    Closed,

    /// The loop is running: it was asked to run by one of its own callbacks. Kind `ResourceBusy`.
    #[error("the event loop is running")]
    Running,

    /// The loop's poller was taken and has not been restored. Kind `ResourceBusy`.
    #[error("the event loop's poller has been taken")]
    PollerTaken,

    /// A setting is out of range. Kind `InvalidInput`.
    #[error("{0}")]
    Config(&'static str),
}

impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        let kind = match error {
            Error::AlreadyRegistered => io::ErrorKind::AlreadyExists,
            Error::RegisteredElsewhere => io::ErrorKind::Other,
            Error::NotRegistered => io::ErrorKind::NotFound,
            Error::Closed => io::ErrorKind::NotConnected,
            Error::Running | Error::PollerTaken => io::ErrorKind::ResourceBusy,
            Error::Config(_) => io::ErrorKind::InvalidInput,
        };
        io::Error::new(kind, error)
    }
}
