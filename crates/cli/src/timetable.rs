//! `--bandwidth`: one rate, or a timetable of the week such as
//! `mon-fri 08:00-18:00 200Mbit/s; sat,sun 500Mbit/s; otherwise unlimited`.
//!
//! Each entry ends with its rate. Before it stand the days (all, if there are none), the hours (the
//! whole day), or `otherwise` alone. Spaces, commas and semicolons between words mean the same.

use whimbrel_core::timetable::{Period, Timetable, TimetableError, WEEK_MINUTES};

use crate::unit::{self, ByteRate, Limit};

const DAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const DAY_MINUTES: u16 = 24 * 60;
const OTHERWISE: &str = "otherwise";

/// What a person allows of the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bandwidth {
    /// The same at all times.
    Always(Limit<ByteRate>),
    /// By the hours of the week.
    Weekly(Timetable),
}

/// What is said up to a rate, and the rate.
#[derive(Default)]
struct Entry<'a> {
    words: Vec<&'a str>,
    days: Vec<u16>,
    /// Minutes of the day, and how many from there.
    hours: Vec<(u16, u16)>,
    otherwise: bool,
}

/// Reads a rate, `unlimited` or a timetable.
pub fn bandwidth(text: &str) -> Result<Bandwidth, String> {
    let between = |c: char| c.is_whitespace() || c == ',' || c == ';';
    if !text.trim().contains(between) {
        return unit::byte_limit(text).map(Bandwidth::Always);
    }
    let (mut entries, mut periods, mut owners, mut rest) = (Vec::new(), vec![], vec![], None);
    let mut entry = Entry::default();
    for word in text.split(between).filter(|word| !word.is_empty()) {
        entry.words.push(word);
        let read = entry.read(word);
        let wrong = |reason: String| format!("entry {}: {reason}", told(entries.len(), &entry));
        let Some(rate) = read.map_err(wrong)? else { continue };
        let own = entry.periods(rate).map_err(wrong)?;
        if entry.otherwise && rest.replace(rate).is_some() {
            return Err(wrong(format!("{OTHERWISE} stands there twice")));
        }
        owners.resize(owners.len() + own.len(), entries.len());
        periods.extend(own);
        entries.push(std::mem::take(&mut entry));
    }
    if !entry.words.is_empty() {
        return Err(format!("entry {} has no rate", told(entries.len(), &entry)));
    }
    if entries.is_empty() {
        return Err(format!("{text:?} names no rate"));
    }
    let timetable = Timetable::new(periods, rest.flatten());
    timetable.map(Bandwidth::Weekly).map_err(|error| refusal(error, &entries, &owners))
}

fn told(place: usize, entry: &Entry) -> String {
    format!("{} ({})", place + 1, entry.words.join(" "))
}

fn refusal(error: TimetableError, entries: &[Entry], owners: &[usize]) -> String {
    let TimetableError::Overlap { first, second, minute } = error else {
        return error.to_string();
    };
    let owner = |period: usize| owners.get(period).copied().unwrap_or_default();
    let of = |place: usize| entries.get(place).map(|entry| told(place, entry)).unwrap_or_default();
    let (first, second) = (owner(first).min(owner(second)), owner(first).max(owner(second)));
    let day = DAYS.get(usize::from(minute / DAY_MINUTES)).unwrap_or(&"").get(..3).unwrap_or("");
    let hours = format!("{:02}:{:02}", minute % DAY_MINUTES / 60, minute % 60);
    if first == second {
        return format!("entry {} means {day} {hours} twice", of(first));
    }
    format!("entry {} and entry {} overlap: both mean {day} {hours}", of(first), of(second))
}

impl Entry<'_> {
    /// Takes the next word in; answers the rate once that came.
    fn read(&mut self, word: &str) -> Result<Option<Option<u64>>, String> {
        if word.eq_ignore_ascii_case(OTHERWISE) {
            self.otherwise = true;
        } else if word.contains(':') {
            self.hours.push(hours(word)?);
        } else if word == "unlimited" || word.starts_with(|c: char| c.is_ascii_digit()) {
            return Ok(Some(match unit::byte_limit(word)? {
                Limit::Unlimited => None,
                Limit::AtMost(rate) => Some(rate.bytes_per_second),
            }));
        } else {
            self.days.append(&mut days(word)?);
        }
        Ok(None)
    }

    fn periods(&self, bytes_per_second: Option<u64>) -> Result<Vec<Period>, String> {
        let named = !self.days.is_empty() || !self.hours.is_empty();
        match (self.otherwise, named) {
            (true, false) => return Ok(Vec::new()),
            (true, true) => return Err(format!("{OTHERWISE} has no days and no hours")),
            (false, false) => {
                return Err(format!("it names no day and no hour; write {OTHERWISE} before it"));
            }
            (false, true) => {}
        }
        let all_days: Vec<u16> = (0..7).collect();
        let days = if self.days.is_empty() { &all_days } else { &self.days };
        let whole_day = [(0, DAY_MINUTES)];
        let hours = if self.hours.is_empty() { &whole_day[..] } else { &self.hours };
        let mut periods = Vec::new();
        for day in days {
            for (minute, minutes) in hours {
                let from_minute = day * DAY_MINUTES + minute;
                let end = from_minute + minutes;
                let to_minute = end.min(WEEK_MINUTES);
                periods.push(Period { from_minute, to_minute, bytes_per_second });
                if end > WEEK_MINUTES {
                    let to_minute = end - WEEK_MINUTES;
                    periods.push(Period { from_minute: 0, to_minute, bytes_per_second });
                }
            }
        }
        Ok(periods)
    }
}

/// `mon`, `Monday`, `sat-mon`.
fn days(word: &str) -> Result<Vec<u16>, String> {
    let day = |name: &str| {
        let is_it = |day: &&str| name.eq_ignore_ascii_case(day) || is_short(name, day);
        (0..).zip(DAYS.iter()).find(|(_, day)| is_it(day)).map(|(number, _)| number).ok_or_else(
            || {
                let told = if name.is_empty() { word } else { name };
                format!(
                    "{told:?} is no day and no rate; days are mon, tue, wed, thu, fri, sat, sun"
                )
            },
        )
    };
    let Some((first, last)) = word.split_once('-') else { return Ok(vec![day(word)?]) };
    let (first, last): (u16, u16) = (day(first)?, day(last)?);
    match (last + 7 - first) % 7 {
        0 => Err(format!("{word:?} is empty; write one day alone")),
        more => Ok((0..=more).map(|after| (first + after) % 7).collect()),
    }
}

fn is_short(name: &str, day: &str) -> bool {
    day.get(..3).is_some_and(|short| name.eq_ignore_ascii_case(short))
}

/// `08:00-18:00`, `22:00-06:00`: when it begins, and how many minutes it has.
fn hours(word: &str) -> Result<(u16, u16), String> {
    let wrong = || format!("{word:?} is no time; write its hours like 08:00-18:00");
    let (from, to) = word.split_once('-').ok_or_else(wrong)?;
    let (from, to) = (minute_of_day(from).ok_or_else(wrong)?, minute_of_day(to).ok_or_else(wrong)?);
    match (to + DAY_MINUTES - from) % DAY_MINUTES {
        _ if from == DAY_MINUTES => Err(wrong()),
        0 if to == DAY_MINUTES => Ok((0, DAY_MINUTES)),
        0 => Err(format!("{word:?} is empty; a whole day is 00:00-24:00")),
        minutes => Ok((from, minutes)),
    }
}

/// 24:00 is the end of a day.
fn minute_of_day(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let digits = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(hour) || !digits(minute) {
        return None;
    }
    match (hour.parse().ok()?, minute.parse().ok()?) {
        (24, 0) => Some(DAY_MINUTES),
        (hour @ 0..24, minute @ 0..60) => Some(hour * 60 + minute),
        (_, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same, said by hand: periods as minutes of the week.
    fn weekly(periods: &[(u16, u16, u64)], rest: Option<u64>) -> Result<Bandwidth, String> {
        let period = |(from_minute, to_minute, rate): &(u16, u16, u64)| Period {
            from_minute: *from_minute,
            to_minute: *to_minute,
            bytes_per_second: Some(*rate),
        };
        let periods = periods.iter().map(period).collect();
        Ok(Bandwidth::Weekly(Timetable::new(periods, rest).unwrap()))
    }

    #[test]
    fn timetables() {
        let day = DAY_MINUTES;
        let office: Vec<(u16, u16, u64)> =
            (0..5).map(|number| (number * day + 480, number * day + 1_080, 125_000_000)).collect();
        for text in [
            "mon-fri 08:00-18:00 1Gbit/s",
            "Monday-FRI 08:00-18:00 1Gbit/s;",
            "mon,tue,wed,thu,fri 08:00-18:00 1Gbit/s, otherwise unlimited",
            "\n mon-wed 08:00-18:00 1Gbit/s\n thu-fri 08:00-12:00,12:00-18:00 125MB/s\n",
        ] {
            let read = bandwidth(text);
            let halves = text.contains("12:00");
            let mut expected = office.clone();
            if halves {
                let (thursday, friday) = (3 * day, 4 * day);
                expected.truncate(3);
                for begin in [thursday, friday] {
                    expected.push((begin + 480, begin + 720, 125_000_000));
                    expected.push((begin + 720, begin + 1_080, 125_000_000));
                }
            }
            assert_eq!(read, weekly(&expected, None), "{text}");
        }
        for (text, periods, rest) in [
            (
                "sat-mon 5B/s",
                &[(0, day, 5), (5 * day, 6 * day, 5), (6 * day, 7 * day, 5)][..],
                None,
            ),
            (
                "sun 22:00-06:00 5B/s otherwise 9B/s",
                &[(0, 360, 5), (8_640 + 1_320, 10_080, 5)],
                Some(9),
            ),
            ("fri 22:00-06:00 5B/s", &[(4 * day + 1_320, 5 * day + 360, 5)], None),
            ("otherwise 9B/s; mon 22:00-24:00 5B/s", &[(1_320, 1_440, 5)], Some(9)),
            ("tue 22:00-00:00 5B/s", &[(day + 1_320, 2 * day, 5)], None),
            ("wed 00:00-24:00 5B/s", &[(2 * day, 3 * day, 5)], None),
            ("otherwise 9B/s", &[], Some(9)),
        ] {
            assert_eq!(bandwidth(text), weekly(periods, rest), "{text}");
        }
        let (every, each) = ("12:00-13:00 5B/s", "mon-sun 12:00-13:00 5B/s");
        assert_eq!(bandwidth(every), bandwidth(each), "every day");
    }

    #[test]
    fn one_rate_is_read_as_ever() {
        for text in ["200Mbit/s", "unlimited", "200", "200Mbit", "", "mon-fri", "otherwise"] {
            assert_eq!(bandwidth(text), unit::byte_limit(text).map(Bandwidth::Always), "{text}");
        }
    }

    #[test]
    fn what_is_refused_is_told_with_its_place() {
        for (text, told) in [
            ("mon-fri 08:00-18:00", "entry 1 (mon-fri 08:00-18:00) has no rate"),
            ("mon 5B/s; fooday 5B/s", "entry 2 (fooday): \"fooday\" is no day"),
            ("mon-fry 5B/s", "\"fry\" is no day"),
            ("mo 5B/s", "\"mo\" is no day"),
            ("mon-mon 5B/s", "\"mon-mon\" is empty"),
            ("mon 08:00-08:00 5B/s", "entry 1 (mon 08:00-08:00): \"08:00-08:00\" is empty"),
            ("mon 24:00-06:00 5B/s", "\"24:00-06:00\" is no time"),
            ("mon 08:00-24:01 5B/s", "is no time"),
            ("mon 8:00-18:00 5B/s", "is no time"),
            ("mon 08:00-18:60 5B/s", "is no time"),
            ("mon 08:00 5B/s", "\"08:00\" is no time"),
            ("08:00,512k 12:00,10M", "\"08:00\" is no time"),
            ("mon 08:00-18:00 5", "entry 1 (mon 08:00-18:00 5): \"5\" is no rate"),
            ("mon 08:00-18:00 0B/s", "out of range"),
            ("mon 5B/s 7B/s", "entry 2 (7B/s): it names no day and no hour"),
            ("mon 5B/s otherwise tue 7B/s", "entry 2 (otherwise tue 7B/s): otherwise has no days"),
            ("otherwise 5B/s, otherwise 7B/s", "entry 2 (otherwise 7B/s): otherwise stands there"),
            ("mon,mon-wed 5B/s", "entry 1 (mon mon-wed 5B/s) means mon 00:00 twice"),
            (
                "mon-fri 08:00-18:00 5B/s; 9B/s",
                "entry 2 (9B/s): it names no day and no hour; write otherwise before it",
            ),
            (
                "mon 08:00-18:00 5B/s; sun-fri 17:30-19:00 9B/s",
                "entry 1 (mon 08:00-18:00 5B/s) and entry 2 (sun-fri 17:30-19:00 9B/s) overlap: \
                 both mean mon 17:30",
            ),
            ("mon 00:00-02:00 5B/s sun 22:00-01:00 9B/s", "both mean mon 00:00"),
            (", ;", "names no"),
        ] {
            let error = bandwidth(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
