//! Every guard is provoked on real systems: what must not go, or be written over, stands as it did,
//! and where there is something to decide a person is asked.

mod deletion;
mod foreign;
mod lost;
mod stage;
mod versions;

use std::error::Error;
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};

use self::stage::Stage;
use super::book::Book;
use super::ground::demand;
use crate::whimbrel::Edition;

/// Which of them.
#[derive(Debug, Args)]
pub struct Guards {
    /// Only this; may be given several times.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    #[command(flatten)]
    edition: Edition,
}

/// One guard, and how it is provoked; what is measured says why it did not hold.
#[derive(Clone, Copy)]
pub struct Guard {
    name: &'static str,
    provoke: fn(&Stage) -> Result<Value, Box<dyn Error>>,
}

/// Provokes them one after the other; fails unless all of them held.
pub fn run(options: &Guards) -> Result<(), Box<dyn Error>> {
    let mut book = Book::open("guards")?;
    let call = json!({
        "only": options.only,
        "release": options.edition.whimbrel.is_none().then_some(options.edition.release),
    });
    if book.has_passed(&call) {
        eprintln!("it stands in the book already");
        return Ok(());
    }
    let measured = measure(options)?;
    book.append(&call, &measured)?;
    println!("{} of {} guards held", measured["held"], measured["provoked"]);
    if measured["passed"] == json!(true) { Ok(()) } else { Err("it did not hold".into()) }
}

fn measure(options: &Guards) -> Result<Value, Box<dyn Error>> {
    let begin = Instant::now();
    let stage = Stage::new(&options.edition);
    let all = [deletion::GUARDS, versions::GUARDS, lost::GUARDS, foreign::GUARDS].concat();
    let named = |guard: &&Guard| options.only.is_empty() || options.only.contains(&guard.name());
    let wanted: Vec<&Guard> = all.iter().filter(named).collect();
    if wanted.len() < options.only.len() {
        return Err(format!("there is no such guard among {:?}", options.only).into());
    }
    let mut measured = json!({"passed": true, "guards": []});
    let mut held = 0;
    for guard in &wanted {
        let each = guard.measure(&stage);
        let holds = each["passed"] == json!(true);
        held += usize::from(holds);
        demand(&mut measured, holds, guard.name);
        if let Some(guards) = measured["guards"].as_array_mut() {
            guards.push(each);
        }
    }
    stage.judge(&mut measured)?;
    measured["provoked"] = json!(wanted.len());
    measured["held"] = json!(held);
    measured["seconds"] = json!(begin.elapsed().as_secs_f64());
    Ok(measured)
}

impl Guard {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    /// Provokes it, and says in a line whether it held.
    fn measure(&self, stage: &Stage) -> Value {
        let begin = Instant::now();
        let provoked = (self.provoke)(stage);
        let mut measured = provoked
            .unwrap_or_else(|error| json!({"passed": false, "reasons": [error.to_string()]}));
        measured["guard"] = json!(self.name);
        measured["seconds"] = json!(begin.elapsed().as_secs_f64());
        let seconds = begin.elapsed().as_secs_f64();
        match measured["reasons"].as_array() {
            None => println!("held      {:<28}{seconds:5.1} s", self.name),
            Some(reasons) => println!("NOT HELD  {:<28}{seconds:5.1} s  {reasons:?}", self.name),
        }
        measured
    }
}
