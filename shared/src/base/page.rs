//! Lists page by page, in the shape of the contract's section 3, "Lists".

use mysql_async::prelude::FromRow;
use mysql_async::{Params, Row, Value};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::base::db::Db;
use crate::base::fields::{Request, WholeNumber};
use crate::{Error, Result};

/// The most rows of one page.
const MOST: u64 = 100;

/// Which page of a list.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    /// From 1.
    #[serde(rename = "page", deserialize_with = "number")]
    pub number: u64,
    /// How many rows it has, 1 to 100.
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
    /// How many rows there are on all pages.
    pub total: u64,
    /// How many pages there are.
    pub pages: u64,
    /// The number of this one.
    pub current_page: u64,
    /// Its rows; none after the last page.
    pub data: Vec<T>,
}

/// What is looked up for the rows of one page alone, and not for all that are counted: what it costs does
/// not grow with the list.
#[derive(Clone, Copy, Debug)]
pub struct More<'a> {
    /// Columns, each after a comma; the row's own are `listed.…`.
    pub columns: &'a str,
    /// `LEFT JOIN`s to `listed` that find one row each, or none.
    pub joins: &'a str,
}

impl<T> Paged<T> {
    /// The page of the rows that `from` names (a `FROM … WHERE …`), and how many these are on all
    /// pages, both by one statement: `total` and the rows are of one moment. `columns` must name each
    /// column once, and be no more than the tables have, since they are read for the rows of the pages
    /// before too; `order` must be a total one, of these columns.
    ///
    /// # Errors
    /// The database's.
    pub async fn read<R>(
        db: &Db,
        columns: &str,
        from: &str,
        order: &[&str],
        params: Params,
        page: Page,
    ) -> Result<Self>
    where
        R: FromRow,
        T: From<R>,
    {
        Self::read_with(db, columns, from, order, More { columns: "", joins: "" }, params, page).await
    }

    /// As [`Paged::read`], with more about each row of the page.
    ///
    /// # Errors
    /// The database's.
    pub async fn read_with<R>(
        db: &Db,
        columns: &str,
        from: &str,
        order: &[&str],
        more: More<'_>,
        params: Params,
        page: Page,
    ) -> Result<Self>
    where
        R: FromRow,
        T: From<R>,
    {
        let More { columns: more_columns, joins } = more;
        let Params::Named(mut params) = params else {
            return Err(Error::internal("a paged statement names its parameters"));
        };
        params.insert(b"page_size".to_vec(), page.size.into());
        params.insert(b"page_offset".to_vec(), (page.number - 1).saturating_mul(page.size).into());
        // A derived table has no order of its own, so it is said twice: where an index can serve it, so that
        // the rows of this page are read and no other, and for these few.
        let of_page: Vec<String> = order.iter().map(|column| format!("listed.{column}")).collect();
        let (order, of_page) = (order.join(", "), of_page.join(", "));
        let rows: Vec<Row> = db
            .rows(
                &format!(
                    "SELECT counted.total, listed.* {more_columns} FROM (SELECT COUNT(*) AS total {from}) counted
                     LEFT JOIN (SELECT {columns}, 1 AS is_row {from}
                                ORDER BY {order} LIMIT :page_size OFFSET :page_offset) listed ON TRUE
                     {joins} ORDER BY {of_page}"
                ),
                Params::Named(params),
            )
            .await?;
        let total = rows.first().and_then(|row| row.get("total")).unwrap_or(0);
        // A page after the last one still comes with the total, in a row without anything else.
        let is_row = |row: &Row| row.get::<Value, _>("is_row") != Some(Value::NULL);
        let data = rows.into_iter().filter(is_row);
        let data = data.map(|row| R::from_row_opt(row).map(T::from).map_err(Error::internal));
        Ok(Self {
            total,
            pages: total.div_ceil(page.size),
            current_page: page.number,
            data: data.collect::<Result<_>>()?,
        })
    }
}
