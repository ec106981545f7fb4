//! Lists page by page (`docs/contract.md`, "Lists"): [`Page`] by its number, [`Slice`] by where the one before ended.

use std::fmt;
use std::str::FromStr;

use mysql_async::prelude::FromRow;
use mysql_async::{Params, Row, Value};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::base::db::Db;
use crate::base::fields::{self, Request, WholeNumber};
use crate::{Error, Result};

/// The most rows that one page can have.
const MOST: u64 = 100;

/// Which page of a list.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    /// From 1.
    #[serde(rename = "page", deserialize_with = "number")]
    pub number: u64,
    /// How many rows a page has, 1 to 100.
    #[serde(rename = "pageSize", deserialize_with = "size")]
    pub size: u64,
}

impl Request for Page {}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    match Option::<WholeNumber>::deserialize(deserializer)?.map_or(1, |WholeNumber(number)| number) {
        0 => Err(de::Error::custom("must be 1 or more")),
        number => Ok(number),
    }
}

fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    match Option::<WholeNumber>::deserialize(deserializer)?.map_or(10, |WholeNumber(size)| size) {
        size if (1..=MOST).contains(&size) => Ok(size),
        _ => Err(de::Error::custom(format!("must be 1 to {MOST}"))),
    }
}

/// One page of a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Paged<T> {
    /// The number of rows on all pages.
    pub total: u64,
    /// The number of pages.
    pub pages: u64,
    /// The number of this page.
    pub current_page: u64,
    /// The rows of this page; empty after the last page.
    pub data: Vec<T>,
}

impl<T: FromRow> Paged<T> {
    /// Reads the rows of a page and the number of rows on all pages. One statement reads both, so they
    /// belong to the same moment. It has this form:
    ///
    /// ```sql
    /// SELECT counted.total, listed.*, … FROM (SELECT COUNT(*) AS total FROM …) counted
    /// LEFT JOIN (SELECT …, 1 AS is_row FROM … ORDER BY … LIMIT :page_size OFFSET :page_offset) listed ON TRUE
    /// … ORDER BY …
    /// ```
    ///
    /// What matters to this function are the columns `total`, which is in every row, and `is_row`.
    ///
    /// `listed` also reads the rows of the earlier pages, so it selects only what the tables themselves
    /// hold. Further columns for the rows of the page come from a `LEFT JOIN` after it. The order must be
    /// total. It stands in the statement twice, since a derived table has no order of its own: once inside
    /// `listed`, where an index can serve it so that only the rows of this page are read, and once outside
    /// for these few rows.
    ///
    /// # Errors
    /// The database's errors.
    pub(crate) async fn read(db: &Db, sql: &str, params: Params, page: Page) -> Result<Self> {
        let Params::Named(mut params) = params else {
            return Err(Error::internal("a paged statement names its parameters"));
        };
        params.insert(b"page_size".to_vec(), page.size.into());
        params.insert(b"page_offset".to_vec(), (page.number - 1).saturating_mul(page.size).into());
        let rows: Vec<Row> = db.rows(sql, Params::Named(params)).await?;
        let total = rows.first().and_then(|row| row.get("total")).unwrap_or(0);
        // Even a page after the last one comes with the total, in a row that holds nothing else.
        let is_row = |row: &Row| row.get::<Value, _>("is_row") != Some(Value::NULL);
        let data = rows.into_iter().filter(is_row);
        let data = data.map(|row| T::from_row_opt(row).map_err(Error::internal));
        Ok(Self {
            total,
            pages: total.div_ceil(page.size),
            current_page: page.number,
            data: data.collect::<Result<_>>()?,
        })
    }
}

/// A part of a list that is read from its beginning on. Without parameters it is the first `MOST` rows.
#[derive(Clone, Debug, Deserialize)]
pub struct Slice<const MOST: u64> {
    /// The place after which the part begins.
    pub after: Option<Place>,
    /// The most rows of the part, 1 to `MOST`.
    #[serde(deserialize_with = "limit::<_, MOST>")]
    pub limit: u64,
}

impl<const MOST: u64> Request for Slice<MOST> {}

fn limit<'de, D: Deserializer<'de>, const MOST: u64>(deserializer: D) -> Result<u64, D::Error> {
    match Option::<WholeNumber>::deserialize(deserializer)?.map_or(MOST, |WholeNumber(limit)| limit) {
        limit if (1..=MOST).contains(&limit) => Ok(limit),
        _ => Err(de::Error::custom(format!("must be 1 to {MOST}"))),
    }
}

impl<const MOST: u64> Slice<MOST> {
    /// How many rows to read: one more than the part has, which shows whether another part follows.
    pub(crate) fn rows(&self) -> u64 {
        self.limit + 1
    }

    /// Makes the part of the [`Slice::rows`] that were read. `place` returns the place of a row.
    pub(crate) fn of<T>(&self, mut rows: Vec<T>, place: impl Fn(&T) -> Place) -> Sliced<T> {
        let is_last = rows.len() as u64 <= self.limit;
        rows.truncate(self.limit as usize);
        let next = if is_last { None } else { rows.last().map(place) };
        Sliced { rows, next }
    }
}

/// A part of a list.
#[derive(Debug)]
pub struct Sliced<T> {
    /// The rows of this part.
    pub rows: Vec<T>,
    /// The place after which the next part begins; `None` at the end of the list.
    pub next: Option<Place>,
}

/// A place in a list: what its order says of a row, a number and then a text. Clients give back what they got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// What the order says first.
    pub number: u64,
    /// What it says of rows with the same number: ids, which have no other characters than `A-Z a-z 0-9 . _ -`.
    pub text: String,
}

impl Place {
    pub(crate) fn new(number: u64, text: impl fmt::Display) -> Self {
        Self { number, text: text.to_string() }
    }

    /// The error for a place that is none in this list.
    pub(crate) fn wrong() -> Error {
        Error::invalid("after", NO_PLACE)
    }
}

pub(crate) const NO_PLACE: &str = "must be the `next` of an earlier part of the list";

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.number, self.text)
    }
}

impl FromStr for Place {
    type Err = &'static str;

    fn from_str(place: &str) -> Result<Self, Self::Err> {
        let (number, text) = place.split_once('.').ok_or(NO_PLACE)?;
        let in_ids = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        match number.parse() {
            Ok(number) if text.len() <= 64 && text.chars().all(in_ids) => Ok(Self::new(number, text)),
            _ => Err(NO_PLACE),
        }
    }
}

impl Serialize for Place {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        fields::string(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_as_it_was_written_and_nothing_else_is_one() {
        for place in [Place::new(0, "ann.2_x-Y"), Place::new(u64::MAX, ""), Place::new(7, 8)] {
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        for wrong in [
            "",
            "7",
            ".",
            "x.y",
            "-1.",
            "1.\u{e9}",
            "18446744073709551616.",
            &format!("1.{}", "x".repeat(65)),
        ] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_part_of_a_list_ends_where_the_next_one_begins() {
        let slice = Slice::<9> { after: None, limit: 2 };
        let of = |rows| slice.of(rows, |number| Place::new(*number, ""));
        assert_eq!(slice.rows(), 3);
        let part = of(vec![5, 4, 3]);
        assert_eq!((part.rows, part.next), (vec![5, 4], Some(Place::new(4, ""))));
        let part = of(vec![5, 4]);
        assert_eq!((part.rows, part.next), (vec![5, 4], None));
    }
}
