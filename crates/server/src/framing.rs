//! Cuts a connection's bytes into frames; the bytes themselves come from elsewhere.
//!
//! ```text
//!    held                             bytes, of one feed
//!    ┌─────────┬───────────────┐      ┌───────────────────┬───────┬───────────┬───────────────┐
//!    │ (spent) │ a frame's     │      │ its end           │ frame │ frame     │ the beginning │
//!    │         │ beginning     │      │                   │       │           │ of one        │
//!    └─────────┴───────────────┘      └───────────────────┴───────┴───────────┴───────────────┘
//!              start                   copied to held      handed over         copied to held,
//!                                      and handed over     where it lies       kept
//! ```
//!
//! Looking for a frame's end and keeping its bytes are two things. [`Scan`] is told each byte once, wherever it lies,
//! and carries over what it has to know of those before: so nothing is scanned twice, however the bytes come.

use std::error::Error;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use memchr::memchr;
use memchr::memmem::Finder;

/// How a connection's bytes are cut into frames.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// Not at all: what is read at once is handed over at once.
    #[default]
    Raw,
    /// Lines end with `\n` or `\r\n`, which is not part of the frame.
    Lines {
        /// The longest frame, in bytes, without what ends it.
        max: usize,
    },
    /// Each frame is followed by a delimiter, which is not part of it.
    Delimited {
        /// At least one byte. By an empty delimiter nothing can be cut: the first byte is [`FrameError::Malformed`].
        delimiter: Vec<u8>,
        /// The longest frame, in bytes, without the delimiter.
        max: usize,
    },
    /// Each frame begins with a header that says how long it is.
    LengthPrefixed(LengthPrefix),
}

/// What the header of a frame looks like: some bytes, which mean nothing here, and then the length, an unsigned number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LengthPrefix {
    /// How many bytes the length takes.
    pub bytes: LengthBytes,
    /// Their order.
    pub endian: Endian,
    /// How many bytes come before the length.
    pub offset: usize,
    /// The length counts the whole frame: what is before it, itself, and the rest. Otherwise it counts the rest.
    pub inclusive: bool,
    /// The header, which ends with the length, is left out of the frame that is handed over.
    pub strip: bool,
    /// The longest frame, in bytes, header included.
    pub max: usize,
}

/// How many bytes a length takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthBytes {
    /// Up to 255.
    One = 1,
    /// Up to 65,535.
    Two = 2,
    /// Up to 2³² − 1.
    Four = 4,
}

/// The order of a number's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endian {
    /// The most significant byte first, as networks have it.
    Big,
    /// The least significant byte first.
    Little,
}

/// Why no more frames can be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// A frame is longer than the maximum, or says that it will be.
    TooLong,
    /// A length that counts the whole frame is less than the header's; or the delimiter is empty.
    Malformed,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FrameError::TooLong => "a frame is longer than the maximum",
            FrameError::Malformed => "the bytes cannot be a frame",
        })
    }
}

impl Error for FrameError {}

/// Why [`Framer::feed`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fed {
    /// Every whole frame has been handed over.
    Drained,
    /// The last frame handed over was answered with [`ControlFlow::Break`]. There may be more.
    Stopped,
}

/// One connection's frames: holds what has come of a frame that is not whole.
///
/// ```
/// use std::ops::ControlFlow;
/// use std::sync::Arc;
///
/// use miolo_server::{Fed, Framer, Framing};
///
/// let mut framer = Framer::new(Arc::new(Framing::Lines { max: 80 }));
/// let mut lines = Vec::new();
/// for bytes in ["GET k", "ey\r", "\nQUIT\r\nrest"] {
///     let fed = framer.feed(bytes.as_bytes(), |line| {
///         lines.push(String::from_utf8_lossy(line).into_owned());
///         ControlFlow::Continue(())
///     })?;
///     assert_eq!(fed, Fed::Drained);
/// }
/// assert_eq!(lines, ["GET key", "QUIT"]);
/// assert_eq!(framer.held(), "rest".len());
/// # Ok::<(), miolo_server::FrameError>(())
/// ```
#[derive(Debug)]
pub struct Framer {
    framing: Arc<Framing>,
    cutter: Cutter,
    failed: Option<FrameError>,
}

impl Framer {
    /// A connection's framer, before its first byte.
    pub fn new(framing: Arc<Framing>) -> Framer {
        Framer {
            framing,
            cutter: Cutter::default(),
            failed: None,
        }
    }

    /// Cuts `bytes`, which follow what came before, and calls `frame` with each whole frame, until that returns
    /// [`ControlFlow::Break`]; the frame it was given then has been taken. What was not consumed is kept and goes on
    /// with the next call, for which `bytes` may be empty.
    ///
    /// What is kept is less than the longest frame and what ends it, and after [`Fed::Stopped`] also the rest of
    /// `bytes`: feed a stopped framer nothing new until it is drained, or it keeps that as well.
    ///
    /// # Errors
    ///
    /// [`FrameError`] as soon as it is known that the next frame is a bad one, after those before it have been handed
    /// over. It is final: what was held is dropped, and every later call returns it again.
    ///
    /// # Panics
    ///
    /// If `frame` does; the rest of `bytes` is lost then.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        frame: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<Fed, FrameError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let fed = self.cutter.cut(&self.framing, bytes, frame);
        if let Err(error) = fed {
            self.failed = Some(error);
            self.cutter = Cutter::default();
        }
        fed
    }

    /// How many bytes are kept: those of a frame that is not whole, or what [`Fed::Stopped`] left.
    pub fn held(&self) -> usize {
        self.cutter.held()
    }
}

/// What a framer has between one feed and the next.
#[derive(Debug, Default)]
struct Cutter {
    /// Up to `start` spent, and then what has not been handed over. Allocated when there is something to keep.
    bytes: Vec<u8>,
    /// Where the unfinished frame begins in `bytes`; at most their length.
    start: usize,
    /// Of the unfinished frame. Between feeds, what it has looked at is in `bytes`, from `start` on.
    scan: Scan,
}

impl Cutter {
    fn held(&self) -> usize {
        self.bytes.len() - self.start
    }

    fn cut(
        &mut self,
        framing: &Framing,
        mut bytes: &[u8],
        mut frame: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<Fed, FrameError> {
        let mut finder = None;
        // What a stop left. Without one, all that is held has been looked at.
        loop {
            let unseen = &self.bytes[self.start + self.scan.looked..];
            let Some(end) = self.scan.look(unseen, framing, &mut finder)? else {
                break;
            };
            let whole = self.start..self.start + end.length;
            self.start = whole.end;
            if frame(end.trim(&self.bytes[whole])).is_break() {
                self.keep(bytes);
                return Ok(Fed::Stopped);
            }
        }
        while let Some(end) = self.scan.look(bytes, framing, &mut finder)? {
            // Something is held for the first of these frames at most: its beginning.
            let held = self.held();
            let (ours, rest) = bytes.split_at(end.length - held);
            bytes = rest;
            let whole = if held == 0 {
                ours
            } else {
                self.bytes.extend_from_slice(ours);
                let start = std::mem::replace(&mut self.start, self.bytes.len());
                &self.bytes[start..]
            };
            if frame(end.trim(whole)).is_break() {
                self.keep(bytes);
                return Ok(Fed::Stopped);
            }
        }
        self.keep(bytes);
        Ok(Fed::Drained)
    }

    /// Appends to what is held. Memory that has become too much for it is given back.
    fn keep(&mut self, bytes: &[u8]) {
        let held = self.held();
        // Then to move it costs no more than what has been spent since it was last moved.
        if held <= self.start {
            self.bytes.drain(..self.start);
            self.start = 0;
            let length = held + bytes.len();
            if self.bytes.capacity() > SPARE.max(length.saturating_mul(2)) {
                self.bytes.shrink_to(length);
            }
        }
        self.bytes.extend_from_slice(bytes);
    }
}

/// How many bytes a buffer may have and stay, however little is in it.
const SPARE: usize = 1024;

/// What has been seen of a frame whose end has not.
#[derive(Debug, Default)]
struct Scan {
    /// How many of its bytes have been looked at. They all exist, so this and a slice's length do not overflow.
    looked: usize,
    /// What has to be known of them. Lines: 1 if the last was `\r`. Delimited: how many of the last are the beginning
    /// of the delimiter, at most; never all of it. Length-prefixed: the length, as far as it has come.
    mark: usize,
}

/// A whole frame.
struct End {
    /// Header, delimiter and all; of this the last look saw the last byte.
    length: usize,
    /// How many bytes at its beginning are not handed over.
    header: usize,
    /// How many bytes at its end are not handed over.
    terminator: usize,
}

impl End {
    fn trim<'a>(&self, whole: &'a [u8]) -> &'a [u8] {
        &whole[self.header..self.length - self.terminator]
    }
}

impl Scan {
    /// Looks at `more`, which follows what was looked at before. If the frame ends there, what is behind it has not
    /// been looked at, and this is the scan of the next frame.
    fn look<'a>(
        &mut self,
        more: &[u8],
        framing: &'a Framing,
        finder: &mut Option<Finder<'a>>,
    ) -> Result<Option<End>, FrameError> {
        if more.is_empty() {
            return Ok(None);
        }
        let end = match framing {
            Framing::Raw => Some(End {
                length: more.len(),
                header: 0,
                terminator: 0,
            }),
            Framing::Lines { max } => self.line(more, *max)?,
            Framing::Delimited { delimiter, max } => {
                self.delimited(more, delimiter, *max, finder)?
            }
            Framing::LengthPrefixed(prefix) => self.length_prefixed(more, prefix)?,
        };
        match end {
            Some(_) => *self = Scan::default(),
            None => self.looked += more.len(),
        }
        Ok(end)
    }

    fn line(&mut self, more: &[u8], max: usize) -> Result<Option<End>, FrameError> {
        let newline = memchr(b'\n', more);
        let line = &more[..newline.unwrap_or(more.len())];
        if let Some(&last) = line.last() {
            self.mark = usize::from(last == b'\r');
        }
        // A `\r` at the end of what there is may yet be dropped.
        let length = self.looked + line.len();
        if length - self.mark > max {
            return Err(FrameError::TooLong);
        }
        Ok(newline.map(|_| End {
            length: length + 1,
            header: 0,
            terminator: self.mark + 1,
        }))
    }

    fn delimited<'a>(
        &mut self,
        more: &[u8],
        delimiter: &'a [u8],
        max: usize,
        finder: &mut Option<Finder<'a>>,
    ) -> Result<Option<End>, FrameError> {
        if delimiter.is_empty() {
            return Err(FrameError::Malformed);
        }
        let seen = self.find(more, delimiter, finder).unwrap_or(more.len());
        // What may be the beginning of the delimiter does not count.
        let length = self.looked + seen;
        if length - self.mark > max {
            return Err(FrameError::TooLong);
        }
        Ok((self.mark == delimiter.len()).then_some(End {
            length,
            header: 0,
            terminator: self.mark,
        }))
    }

    /// Where the first delimiter ends in `more`. Leaves in `mark` how much of one there is up to there, or up to the
    /// end.
    fn find<'a>(
        &mut self,
        more: &[u8],
        delimiter: &'a [u8],
        finder: &mut Option<Finder<'a>>,
    ) -> Option<usize> {
        let mut at = 0;
        // As long as one may have begun. And where none can end, a finder is not worth its making: it looks at the
        // whole delimiter, which would be done for each byte if they came one by one.
        while at < more.len() && (self.mark > 0 || more.len() - at < delimiter.len()) {
            self.mark = advance(delimiter, self.mark, more[at]);
            at += 1;
            if self.mark == delimiter.len() {
                return Some(at);
            }
        }
        if at == more.len() {
            return None;
        }
        let finder = finder.get_or_insert_with(|| Finder::new(delimiter));
        if let Some(found) = finder.find(&more[at..]) {
            self.mark = delimiter.len();
            return Some(at + found + delimiter.len());
        }
        for &byte in &more[more.len() - (delimiter.len() - 1)..] {
            self.mark = advance(delimiter, self.mark, byte);
        }
        None
    }

    fn length_prefixed(
        &mut self,
        more: &[u8],
        prefix: &LengthPrefix,
    ) -> Result<Option<End>, FrameError> {
        let width = prefix.bytes as usize;
        let header = prefix.offset.checked_add(width);
        let header = header
            .filter(|&header| header <= prefix.max)
            .ok_or(FrameError::TooLong)?;
        let seen = self.looked + more.len();
        for position in self.looked.max(prefix.offset)..seen.min(header) {
            let nth = match prefix.endian {
                Endian::Big => header - 1 - position,
                Endian::Little => position - prefix.offset,
            };
            self.mark |= usize::from(more[position - self.looked]) << (8 * nth);
        }
        // What of the length has not come counts as zero here, so the frame is at least this long.
        let length = if prefix.inclusive {
            self.mark
        } else {
            header.checked_add(self.mark).ok_or(FrameError::TooLong)?
        };
        if length > prefix.max {
            return Err(FrameError::TooLong);
        }
        if seen < header {
            return Ok(None);
        }
        if length < header {
            return Err(FrameError::Malformed);
        }
        Ok((length <= seen).then_some(End {
            length,
            header: if prefix.strip { header } else { 0 },
            terminator: 0,
        }))
    }
}

/// How many of the last bytes are the beginning of the delimiter, at most, when `byte` follows `matched` such bytes.
///
/// Those bytes are the delimiter's own, so they need not be seen again. A shorter beginning is tried only in place of
/// a longer one, and each byte makes it longer by one: so there are, all in all, but a few tries for each byte.
fn advance(delimiter: &[u8], matched: usize, byte: u8) -> usize {
    if delimiter[matched] == byte {
        return matched + 1;
    }
    let shorter = (0..matched).rev().find(|&shorter| {
        delimiter[shorter] == byte && delimiter[..shorter] == delimiter[matched - shorter..matched]
    });
    shorter.map_or(0, |shorter| shorter + 1)
}
