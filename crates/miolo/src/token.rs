/// What a registration is called in [`Handler::ready`](crate::Handler::ready).
///
/// The program chooses it; two registrations may share one.
///
/// ```
/// use miolo::Token;
///
/// const SERVER: Token = Token(0);
/// assert_eq!(SERVER.as_usize(), 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub usize);

impl Token {
    /// The number itself.
    pub const fn as_usize(self) -> usize {
        self.0
    }
}

impl From<usize> for Token {
    fn from(number: usize) -> Token {
        Token(number)
    }
}

impl From<Token> for usize {
    fn from(token: Token) -> usize {
        token.0
    }
}
