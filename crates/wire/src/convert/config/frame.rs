//! Where components stand.

use super::fields::{Fields, Odd};
use crate::viam::app::v1 as pb;
use crate::viam::app::v1::orientation;
use crate::viam::common::v1::{self as common, geometry::GeometryType};

pub(super) fn frame(it: &Fields<'_>) -> Result<pb::Frame, Odd> {
    Ok(pb::Frame {
        parent: it.text("parent")?,
        translation: it.one("translation", translation)?,
        orientation: it.one("orientation", turned)?,
        geometry: it.one("geometry", geometry)?,
    })
}

fn translation(it: &Fields<'_>) -> Result<pb::Translation, Odd> {
    Ok(pb::Translation { x: it.number("x")?, y: it.number("y")?, z: it.number("z")? })
}

/// How something is turned: the sort of the numbers, and the numbers.
fn turned(it: &Fields<'_>) -> Result<pb::Orientation, Odd> {
    use orientation::Type;
    let value = || it.object("value")?.ok_or_else(|| it.odd("value", "must be there"));
    let r#type = match it.text("type")?.as_str() {
        "" | "none" => Type::NoOrientation(orientation::NoOrientation {}),
        "ov_degrees" => {
            let [theta, x, y, z] = four(&value()?, ["th", "x", "y", "z"])?;
            Type::VectorDegrees(orientation::OrientationVectorDegrees { theta, x, y, z })
        }
        "ov_radians" => {
            let [theta, x, y, z] = four(&value()?, ["th", "x", "y", "z"])?;
            Type::VectorRadians(orientation::OrientationVectorRadians { theta, x, y, z })
        }
        "axis_angles" => {
            let [theta, x, y, z] = four(&value()?, ["th", "x", "y", "z"])?;
            Type::AxisAngles(orientation::AxisAngles { theta, x, y, z })
        }
        "quaternion" => {
            let [w, x, y, z] = four(&value()?, ["w", "x", "y", "z"])?;
            Type::Quaternion(orientation::Quaternion { w, x, y, z })
        }
        "euler_angles" => {
            let it = value()?;
            let [roll, pitch, yaw] = [it.number("roll")?, it.number("pitch")?, it.number("yaw")?];
            Type::EulerAngles(orientation::EulerAngles { roll, pitch, yaw })
        }
        _ => {
            let rule = "must be ov_degrees, ov_radians, axis_angles, euler_angles or quaternion";
            return Err(it.odd("type", rule));
        }
    };
    Ok(pb::Orientation { r#type: Some(r#type) })
}

fn four(it: &Fields<'_>, names: [&str; 4]) -> Result<[f64; 4], Odd> {
    let [a, b, c, d] = names.map(|name| it.number(name));
    Ok([a?, b?, c?, d?])
}

/// The room that something takes up. Without a type, the sizes that are there say which.
fn geometry(it: &Fields<'_>) -> Result<common::Geometry, Odd> {
    let said = it.text("type")?;
    let sphere = || Ok(GeometryType::Sphere(common::Sphere { radius_mm: it.number("r")? }));
    let kind = match said.as_str() {
        "box" => boxed(it)?,
        "sphere" => sphere()?,
        "capsule" => capsule(it)?,
        // A ball without a size, as the wire has it.
        "point" => GeometryType::Sphere(common::Sphere { radius_mm: 0.0 }),
        "" if it.has("l") => capsule(it)?,
        "" if it.has("r") => sphere()?,
        "" => boxed(it)?,
        _ => return Err(it.odd("type", "must be box, sphere, capsule or point")),
    };
    Ok(common::Geometry { center: Some(center(it)?), label: it.text("label")?, geometry_type: Some(kind) })
}

fn boxed(it: &Fields<'_>) -> Result<GeometryType, Odd> {
    let dims_mm = Some(common::Vector3 { x: it.number("x")?, y: it.number("y")?, z: it.number("z")? });
    Ok(GeometryType::Box(common::RectangularPrism { dims_mm }))
}

fn capsule(it: &Fields<'_>) -> Result<GeometryType, Odd> {
    Ok(GeometryType::Capsule(common::Capsule { radius_mm: it.number("r")?, length_mm: it.number("l")? }))
}

/// Where the middle of it is. The wire knows one way to say how it is turned.
fn center(it: &Fields<'_>) -> Result<common::Pose, Odd> {
    use orientation::Type;
    let at = it.one("translation", translation)?.unwrap_or_default();
    let turned = it.one("orientation", turned)?.and_then(|turned| turned.r#type);
    let (o_x, o_y, o_z, theta) = match turned {
        None | Some(Type::NoOrientation(_)) => (0.0, 0.0, 1.0, 0.0),
        Some(Type::VectorDegrees(it)) => (it.x, it.y, it.z, it.theta),
        Some(Type::VectorRadians(it)) => (it.x, it.y, it.z, it.theta.to_degrees()),
        Some(_) => return Err(it.odd("orientation", "must be ov_degrees or ov_radians in a geometry")),
    };
    Ok(common::Pose { x: at.x, y: at.y, z: at.z, o_x, o_y, o_z, theta })
}
