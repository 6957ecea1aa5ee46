//! Variable-length integers: what cell blocks are written in.
//!
//! Unsigned LEB128, seven bits a byte, least significant first; signed numbers are zigzag-mapped before.
//! Invariant: reading never panics and never reads past the end; a damaged text gives [`Truncated`].

/// The bytes end inside a value, or a value does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cell block ends inside a value")]
pub struct Truncated;

/// Appends an unsigned number.
pub fn put_u64(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed number.
pub fn put_i64(out: &mut Vec<u8>, value: i64) {
    put_u64(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// Appends a wide signed number.
pub fn put_i128(out: &mut Vec<u8>, value: i128) {
    let mut rest = ((value << 1) ^ (value >> 127)) as u128;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Appends a float, bit for bit.
pub fn put_f64(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Reads values off the front of a byte slice.
#[derive(Clone, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// A reader of the whole slice.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes `length` bytes.
    ///
    /// # Errors
    /// [`Truncated`] when fewer are left.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Truncated> {
        let (head, tail) = self.0.split_at_checked(length).ok_or(Truncated)?;
        self.0 = tail;
        Ok(head)
    }

    /// Reads an unsigned number.
    ///
    /// # Errors
    /// [`Truncated`] when the bytes end inside it.
    #[inline]
    pub fn u64(&mut self) -> Result<u64, Truncated> {
        // Most numbers in a block are small.
        if let [byte @ 0..0x80, tail @ ..] = self.0 {
            self.0 = tail;
            return Ok(u64::from(*byte));
        }
        self.wide(64).map(|value| value as u64)
    }

    /// Reads an unsigned number that fits in 32 bits.
    ///
    /// # Errors
    /// [`Truncated`] when the bytes end inside it or it does not fit.
    #[inline]
    pub fn u32(&mut self) -> Result<u32, Truncated> {
        u32::try_from(self.u64()?).map_err(|_| Truncated)
    }

    /// Reads a signed number.
    ///
    /// # Errors
    /// [`Truncated`] when the bytes end inside it.
    #[inline]
    pub fn i64(&mut self) -> Result<i64, Truncated> {
        let raw = self.u64()?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    /// Reads a wide signed number.
    ///
    /// # Errors
    /// [`Truncated`] when the bytes end inside it.
    pub fn i128(&mut self) -> Result<i128, Truncated> {
        let raw = self.wide(128)?;
        Ok((raw >> 1) as i128 ^ -((raw & 1) as i128))
    }

    /// Reads a float.
    ///
    /// # Errors
    /// [`Truncated`] when fewer than eight bytes are left.
    pub fn f64(&mut self) -> Result<f64, Truncated> {
        let bytes = self.take(8)?;
        Ok(f64::from_le_bytes(bytes.try_into().map_err(|_| Truncated)?))
    }

    fn wide(&mut self, bits: u32) -> Result<u128, Truncated> {
        let mut value = 0_u128;
        let mut shift = 0;
        for (at, byte) in self.0.iter().enumerate() {
            if shift >= bits {
                return Err(Truncated);
            }
            value |= u128::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                self.0 = &self.0[at + 1..];
                return Ok(value);
            }
            shift += 7;
        }
        Err(Truncated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_back() {
        let mut out = Vec::new();
        let unsigned = [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX];
        let signed = [0, 1, -1, i64::MAX, i64::MIN, -300];
        let wide = [0, i128::MAX, i128::MIN, -1, 1 << 100];
        unsigned.iter().for_each(|value| put_u64(&mut out, *value));
        signed.iter().for_each(|value| put_i64(&mut out, *value));
        wide.iter().for_each(|value| put_i128(&mut out, *value));
        put_f64(&mut out, -0.25);
        let mut reader = Reader::new(&out);
        unsigned.iter().for_each(|value| assert_eq!(reader.u64(), Ok(*value)));
        signed.iter().for_each(|value| assert_eq!(reader.i64(), Ok(*value)));
        wide.iter().for_each(|value| assert_eq!(reader.i128(), Ok(*value)));
        assert_eq!(reader.f64(), Ok(-0.25));
        assert!(reader.is_empty());
    }

    #[test]
    fn damage_is_an_error() {
        assert_eq!(Reader::new(&[0x80]).u64(), Err(Truncated));
        assert_eq!(Reader::new(&[0xff; 30]).i128(), Err(Truncated));
        assert_eq!(Reader::new(&[1, 2]).f64(), Err(Truncated));
        assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 1]).u32(), Err(Truncated));
    }
}
