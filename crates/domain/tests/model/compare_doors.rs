//! Who is let in, by the crate and by the naive model.

use domain::{Caller, KeyValue, PartId, SecretId, Timestamp, UserId, View, present, verify};

use crate::compare::same;
use crate::dice::Dice;
use crate::naive::Model;

/// Who is let in: some keys, with their value and with others, around the moment they expire.
pub(crate) fn compare_doors<V: View>(view: &V, model: &Model, dice: &mut Dice) -> Result<usize, String> {
    let mut cases = 0;
    let fresh = KeyValue::generate(&mut dice.0).expose().to_owned();
    let some: Vec<_> = model.keys.iter().filter(|_| dice.percent(40)).collect();
    for key in some {
        for at in moments(model.now, key.expires_at) {
            let other = dice.one(&model.keys).value;
            let old = dice.pick(&model.old_values).map_or_else(|| fresh.clone(), |(_, value)| value);
            for value in [&key.value, &other, &old, &fresh] {
                let naive = model.let_in_by_value(key.id, value, at);
                let real = verify(view, &key.id.to_string(), value, at).map(|it| it.actor());
                same(real, naive, || format!("a value for key {} at {at}", key.id))?;
                cases += 1;
            }
            for generation in key.generation - 1..=key.generation + 1 {
                let caller = Caller::Key { id: key.id, generation };
                let real = present(view, caller, at).map(|it| it.actor());
                same(real, model.let_in(caller, at), || format!("{caller:?} at {at}"))?;
                cases += 1;
            }
        }
    }
    cases += compare_people_at_the_door(view, model, dice)?;
    for (id, value) in model.old_values.iter().rev().take(20) {
        let real = verify(view, &id.to_string(), value, model.now).map(|it| it.actor());
        same(real, model.let_in_by_value(*id, value, model.now), || format!("an old value of key {id}"))?;
        cases += 1;
    }
    Ok(cases)
}

/// People in the round they are signed in for and those next to it, somebody unknown, and a part that has no secret.
fn compare_people_at_the_door<V: View>(view: &V, model: &Model, dice: &mut Dice) -> Result<usize, String> {
    let around =
        |it: &domain::User| (it.generation - 1..=it.generation + 1).map(|round| (it.id, round)).collect();
    let people: Vec<Vec<_>> = model.users.iter().map(around).collect();
    let unknown = UserId::generate(model.now, &mut dice.0);
    let people = people.into_iter().flatten().chain([(unknown, 1)]);
    let mut callers: Vec<_> = people.map(|(id, generation)| Caller::User { id, generation }).collect();
    let secret = SecretId::generate(model.now, &mut dice.0);
    let part = dice.pick(&model.parts).map(|part| part.id);
    let unknown = PartId::generate(model.now, &mut dice.0);
    callers.extend(part.into_iter().chain([unknown]).map(|id| Caller::Part { id, secret }));
    for caller in &callers {
        let real = present(view, *caller, model.now).map(|it| it.actor());
        same(real, model.let_in(*caller, model.now), || format!("{caller:?}"))?;
    }
    Ok(callers.len())
}

fn moments(now: Timestamp, expires_at: Option<Timestamp>) -> Vec<Timestamp> {
    let around = |end: Timestamp| [-1, 0, 1].map(|micros| Timestamp::from_micros(end.as_micros() + micros));
    [now].into_iter().chain(expires_at.into_iter().flat_map(around)).collect()
}
