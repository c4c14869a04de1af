//! The Python dictionary in an `.npy` header, and nothing else of Python.

/// The `descr` entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Descr {
    /// A string such as `<f4`.
    Plain(String),
    /// A list: a record dtype.
    Structured,
}

/// The three entries every header has.
#[derive(Debug)]
pub(super) struct Dict {
    pub(super) descr: Descr,
    pub(super) fortran_order: bool,
    pub(super) shape: Vec<u64>,
}

/// Byte within the text, and what is wrong there.
type Fail = (usize, String);

/// Most dimensions NumPy knows.
const MAX_DIMS: usize = 64;

/// Parses the text of a header.
pub(super) fn parse(text: &[u8]) -> Result<Dict, Fail> {
    let mut p = Parser { text, at: 0 };
    let (mut descr, mut fortran_order, mut shape) = (None, None, None);
    p.demand(b'{')?;
    while !p.eat(b'}') {
        let at = p.at;
        let key = p.string()?;
        p.demand(b':')?;
        let repeated = match key.as_str() {
            "descr" => descr.replace(p.descr()?).is_some(),
            "fortran_order" => fortran_order.replace(p.boolean()?).is_some(),
            "shape" => shape.replace(p.shape()?).is_some(),
            _ => return Err((at, format!("unknown entry '{key}'"))),
        };
        if repeated {
            return Err((at, format!("entry '{key}' is there twice")));
        }
        if !p.eat(b',') {
            p.demand(b'}')?;
            break;
        }
    }
    p.space();
    if p.at < text.len() {
        return Err((p.at, "text after the closing brace".into()));
    }
    match (descr, fortran_order, shape) {
        (Some(descr), Some(fortran_order), Some(shape)) => Ok(Dict {
            descr,
            fortran_order,
            shape,
        }),
        (None, ..) => Err((0, "entry 'descr' is missing".into())),
        (_, None, _) => Err((0, "entry 'fortran_order' is missing".into())),
        (.., None) => Err((0, "entry 'shape' is missing".into())),
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\t' | b'\r')) {
            self.at += 1;
        }
    }

    /// Skips white space, then `byte` if it is next.
    fn eat(&mut self, byte: u8) -> bool {
        self.space();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn demand(&mut self, byte: u8) -> Result<(), Fail> {
        if self.eat(byte) {
            return Ok(());
        }
        Err((self.at, format!("'{}' expected", char::from(byte))))
    }

    /// A quoted string without escapes; kept short, for it ends up in messages.
    fn string(&mut self) -> Result<String, Fail> {
        self.space();
        let start = self.at;
        let quote = match self.peek() {
            Some(q @ (b'\'' | b'"')) => q,
            _ => return Err((start, "a quoted string expected".into())),
        };
        let rest = &self.text[start + 1..];
        let end = rest.iter().position(|&b| b == quote);
        match end.map(|n| &rest[..n]) {
            Some(s)
                if s.len() <= 64 && s.iter().all(|b| (b' '..=b'~').contains(b) && *b != b'\\') =>
            {
                self.at = start + s.len() + 2;
                Ok(s.iter().map(|&b| char::from(b)).collect())
            }
            Some(_) => Err((start, "a string that is no dtype or entry name".into())),
            None => Err((start, "a string without an end".into())),
        }
    }

    fn boolean(&mut self) -> Result<bool, Fail> {
        self.space();
        for (word, value) in [("True", true), ("False", false)] {
            if self.text[self.at..].starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err((self.at, "True or False expected".into()))
    }

    fn descr(&mut self) -> Result<Descr, Fail> {
        self.space();
        match self.peek() {
            Some(b'[' | b'(') => {
                self.skip_brackets()?;
                Ok(Descr::Structured)
            }
            _ => self.string().map(Descr::Plain),
        }
    }

    /// Skips a bracketed list, so that the entries after it are still checked.
    fn skip_brackets(&mut self) -> Result<(), Fail> {
        let start = self.at;
        let mut depth = 0usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'[' | b'(' => depth += 1,
                b']' | b')' => depth -= 1,
                b'\'' | b'"' => {
                    self.at += 1;
                    while self.peek().is_some_and(|b| b != byte) {
                        self.at += 1;
                    }
                }
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
        Err((start, "a list without an end".into()))
    }

    fn shape(&mut self) -> Result<Vec<u64>, Fail> {
        self.demand(b'(')?;
        let mut dims = Vec::new();
        while !self.eat(b')') {
            if dims.len() == MAX_DIMS {
                return Err((self.at, format!("more than {MAX_DIMS} dimensions")));
            }
            dims.push(self.integer()?);
            if !self.eat(b',') {
                self.demand(b')')?;
                break;
            }
        }
        Ok(dims)
    }

    /// A non-negative integer; Python 2 wrote `3L`.
    fn integer(&mut self) -> Result<u64, Fail> {
        self.space();
        let start = self.at;
        let mut value = 0u64;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            value = value
                .checked_mul(10)
                .and_then(|v| v.checked_add(u64::from(digit - b'0')))
                .ok_or((start, "a dimension too large to address".to_string()))?;
            self.at += 1;
        }
        if self.at == start {
            return Err((start, "a dimension (0 or more) or ) expected".into()));
        }
        self.at += usize::from(self.peek() == Some(b'L'));
        Ok(value)
    }
}
