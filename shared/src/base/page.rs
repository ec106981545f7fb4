//! Lists page by page (`docs/contract.md`, "Lists").

use mysql_async::prelude::FromRow;
use mysql_async::{Params, Row, Value};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::base::db::Db;
use crate::base::fields::{Request, WholeNumber};
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
