//! Writes one event as a line of JSON into a buffer that is used again: no allocation, no floats.
//!
//! Fractions are given as whole thousandths, so that the text is the same everywhere. Must not know: what the events mean.

use std::fmt::Write;

use plimsoll_entity::value::time::{DAY_US, HOUR_US, Instant, MINUTE_US, SECOND_US};
use uuid::Uuid;

/// One JSON object under construction. `close` ends it.
#[derive(Debug)]
pub struct Line<'a> {
    text: &'a mut String,
    /// Nothing stands in the innermost object or list yet.
    fresh: bool,
}

impl<'a> Line<'a> {
    /// Begins an event of a type. What stands in the buffer stays.
    pub fn open(text: &'a mut String, kind: &str) -> Self {
        text.push_str("{\"type\":\"");
        text.push_str(kind);
        text.push('"');
        Self { text, fresh: false }
    }

    /// Ends the event, without a line feed.
    pub fn close(self) {
        self.text.push('}');
    }

    fn key(&mut self, key: &str) {
        if !self.fresh {
            self.text.push(',');
        }
        self.fresh = false;
        self.text.push('"');
        self.text.push_str(key);
        self.text.push_str("\":");
    }

    /// A text.
    pub fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.key(key);
        push_text(self.text, value);
        self
    }

    /// A text, if there is one.
    pub fn text_if(&mut self, key: &str, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.text(key, value),
            None => self,
        }
    }

    /// A whole number.
    pub fn whole(&mut self, key: &str, value: i64) -> &mut Self {
        self.key(key);
        push_whole(self.text, value);
        self
    }

    /// A whole number, if there is one.
    pub fn whole_if(&mut self, key: &str, value: Option<i64>) -> &mut Self {
        match value {
            Some(value) => self.whole(key, value),
            None => self,
        }
    }

    /// A number given in thousandths, not negative: 1,250 is written as `1.250`.
    pub fn thousandths(&mut self, key: &str, value: i64) -> &mut Self {
        self.key(key);
        push_whole(self.text, value / 1000);
        self.text.push('.');
        push_padded(self.text, value % 1000, 3);
        self
    }

    /// A number given in thousandths, if there is one.
    pub fn thousandths_if(&mut self, key: &str, value: Option<i64>) -> &mut Self {
        match value {
            Some(value) => self.thousandths(key, value),
            None => self,
        }
    }

    /// True or false.
    pub fn flag(&mut self, key: &str, value: bool) -> &mut Self {
        self.key(key);
        self.text.push_str(if value { "true" } else { "false" });
        self
    }

    /// An instant.
    pub fn instant(&mut self, key: &str, value: Instant) -> &mut Self {
        self.key(key);
        push_instant(self.text, value);
        self
    }

    /// An id.
    pub fn id(&mut self, key: &str, value: Uuid) -> &mut Self {
        self.key(key);
        self.text.push('"');
        self.text.push_str(value.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
        self.text.push('"');
        self
    }

    /// Keys and values that stand as they are, such as `"a":1,"b":2`: for parts that repeat.
    pub fn fragment(&mut self, keys_and_values: &str) -> &mut Self {
        if !self.fresh {
            self.text.push(',');
        }
        self.fresh = false;
        self.text.push_str(keys_and_values);
        self
    }

    /// A list of whole numbers.
    pub fn wholes(&mut self, key: &str, values: impl IntoIterator<Item = i64>) -> &mut Self {
        self.key(key);
        self.text.push('[');
        for (place, value) in values.into_iter().enumerate() {
            if place > 0 {
                self.text.push(',');
            }
            push_whole(self.text, value);
        }
        self.text.push(']');
        self
    }

    /// An object inside this one.
    pub fn object(&mut self, key: &str, fill: impl FnOnce(&mut Line<'_>)) -> &mut Self {
        self.key(key);
        self.text.push('{');
        fill(&mut Line { text: self.text, fresh: true });
        self.text.push('}');
        self
    }

    /// A list of objects.
    pub fn objects<T>(&mut self, key: &str, values: impl IntoIterator<Item = T>, mut fill: impl FnMut(&mut Line<'_>, T)) -> &mut Self {
        self.key(key);
        self.text.push('[');
        for (place, value) in values.into_iter().enumerate() {
            self.text.push_str(if place > 0 { ",{" } else { "{" });
            fill(&mut Line { text: self.text, fresh: true }, value);
            self.text.push('}');
        }
        self.text.push(']');
        self
    }
}

fn push_text(text: &mut String, value: &str) {
    text.push('"');
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            c if c.is_control() => {
                // Writing into a String cannot fail.
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text.push('"');
}

fn push_whole(text: &mut String, value: i64) {
    if value < 0 {
        text.push('-');
    }
    let (mut rest, mut digits, mut at) = (value.unsigned_abs(), [b'0'; 20], 20);
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    digits[at..].iter().for_each(|&digit| text.push(char::from(digit)));
}

/// The last `width` digits of a number that is not negative.
fn push_padded(text: &mut String, value: i64, width: u32) {
    for place in (0..width).rev() {
        text.push(char::from(b'0' + (value / 10_i64.pow(place) % 10) as u8));
    }
}

/// RFC 3339 in UTC: milliseconds where they suffice, microseconds otherwise, nothing where there is no fraction.
fn push_instant(text: &mut String, at: Instant) {
    let (year, month, day) = civil(at.0.div_euclid(DAY_US));
    let in_day = at.0.rem_euclid(DAY_US);
    text.push('"');
    push_padded(text, year, 4);
    for (mark, value) in
        [('-', month), ('-', day), ('T', in_day / HOUR_US), (':', in_day % HOUR_US / MINUTE_US), (':', in_day % MINUTE_US / SECOND_US)]
    {
        text.push(mark);
        push_padded(text, value, 2);
    }
    let fraction = in_day % SECOND_US;
    if fraction != 0 {
        text.push('.');
        push_padded(text, fraction, 6);
    }
    text.push_str("Z\"");
}

/// Year, month and day of a day since 1970-01-01, by counting eras of 400 years from March.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day_of_year - (153 * from_march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_json_that_reads_back() {
        let mut text = String::new();
        let mut line = Line::open(&mut text, "execution");
        line.text("model", "a \"b\" \\ \u{7}ü").thousandths("ms", 1_000_250).whole("n", -7).flag("hit", true).wholes("gpus", [0, 12]);
        line.whole_if("absent", None).object("inner", |inner| {
            inner.whole("x", 1).whole("y", 2);
        });
        line.objects("list", [1, 2], |object, n| {
            object.whole("n", n);
        });
        line.close();
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        let expected = serde_json::json!({"type": "execution", "model": "a \"b\" \\ \u{7}ü", "ms": 1000.25, "n": -7, "hit": true, "gpus": [0, 12],
            "inner": {"x": 1, "y": 2}, "list": [{"n": 1}, {"n": 2}]});
        assert_eq!(read, expected);
    }

    #[test]
    fn writes_instants_like_the_rest_of_the_house() {
        for us in [0, 951_782_399_999_999, 951_782_400_000_000, 1_709_251_199_120_000, 1_772_323_200_000_001, 253_402_300_799_000_000] {
            let mut text = String::new();
            push_instant(&mut text, Instant(us));
            assert_eq!(text, format!("\"{}\"", Instant(us)));
        }
    }
}
