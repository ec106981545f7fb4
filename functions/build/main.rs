//! Writes what `src/` includes: the catalogue, with an entry for each file in `src/bin/`, which names its handler; and
//! the API reference.

mod reference;

use std::error::Error;
use std::path::Path;
use std::{env, fs};

use reference::Reference;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
    let folder = Path::new(&folder);
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=src/bin");
    fs::write(folder.join("catalogue.rs"), catalogue()?)?;
    let document = |name: &str| -> Result<_, Box<dyn Error>> {
        let path = format!("../docs/{name}");
        println!("cargo::rerun-if-changed={path}");
        Ok(serde_saphyr::from_str(&fs::read_to_string(path)?)?)
    };
    let reference = Reference::new(document("openapi.yaml")?, document("asyncapi.yaml")?);
    fs::write(folder.join("reference.html"), reference.page())?;
    Ok(())
}

fn catalogue() -> Result<String, Box<dyn Error>> {
    let mut catalogue = String::from("BTreeMap::from([\n");
    for file in fs::read_dir("src/bin")? {
        let path = file?.path();
        let source = fs::read_to_string(&path)?;
        let handler = source.split_once("functions::main!(").and_then(|(_, rest)| rest.split_once(')'));
        let (handler, _) = handler.ok_or_else(|| format!("{} needs functions::main!(…);", path.display()))?;
        let name = path.file_stem().unwrap_or_default();
        catalogue += &format!("    ({name:?}, function({handler})),\n");
    }
    catalogue += "])\n";
    Ok(catalogue)
}
