//! The preset, over documents as the application left them.

use std::collections::BTreeMap;

use bson::oid::ObjectId;
use bson::{Bson, DateTime, Document, doc};

use super::super::identity::derived_id;
use super::super::{Collision, Given, Migration, PasswordMode};
use super::{NOW, raw};
use crate::mongo::hashing::Algorithm;

fn preset() -> Migration {
    let text = Migration::preset("form-a-friend").unwrap();
    let environment = |name: &str| (name == "FORM_ADMIN_NAME").then(|| " RIRI".to_owned());
    Migration::parse(text, &environment).unwrap()
}

fn when() -> DateTime {
    DateTime::parse_rfc3339_str("2024-03-05T10:00:00Z").unwrap()
}

/// As the application writes a response.
fn response() -> Document {
    doc! {
        "_id": ObjectId::parse_str("65e6f0000000000000000001").unwrap(),
        "name": " Zoe\u{301}  Müller ",
        "responses": [
            { "question": "En rapide, comment ça va ?", "answer": "  Tre\u{300}s bien " },
            { "question": "Photo", "answer": "https://res.cloudinary.com/x/y.jpg" },
            { "question": "Rien", "answer": "" },
            { "question": "Long", "answer": "é".repeat(10_001) },
        ],
        "month": "2024-03",
        "isAdmin": false,
        "token": "ab".repeat(32),
        "createdAt": when(),
        "authMethod": "token",
        "__v": 0,
    }
}

fn made(phase: usize, source: &Document, references: &[Document]) -> Result<Document, String> {
    let migration = preset();
    let phase = &migration.phases[phase];
    let place = phase.place(&raw(source), NOW)?;
    let given = Given {
        id: phase.id(&migration, &place.key, &raw(source))?,
        key: &place.key,
        count: 7,
        set: &BTreeMap::new(),
        references,
        now: NOW,
    };
    phase.target(&raw(source), &given)
}

fn user_id() -> ObjectId {
    derived_id("form-a-friend", "users", "zoé müller")
}

#[test]
fn presets_have_names() {
    assert_eq!(Migration::PRESETS, ["form-a-friend"]);
    for name in Migration::PRESETS {
        assert!(Migration::preset(name).is_some_and(|text| text.contains(name)));
    }
    assert_eq!(Migration::preset("other"), None);
}

#[test]
fn a_person_becomes_a_user() {
    let expected = doc! {
        "_id": user_id(),
        "username": "zoe_muller",
        "email": "zoe_muller@migrated.example.com",
        "role": "user",
        "metadata": {
            "isActive": true, "emailVerified": false, "registeredAt": when(), "lastActive": NOW,
            "responseCount": 7,
        },
        "preferences": {
            "sendTime": "18:00", "timezone": "Europe/Paris", "sendDay": 5,
            "emailTemplate": "friendly",
            "reminderSettings": {
                "firstReminder": true, "secondReminder": true, "reminderChannel": "email",
            },
        },
        "statistics": {
            "totalSubmissions": 7, "totalContacts": 0, "averageResponseRate": 0, "joinedCycles": 0,
        },
        "migrationData": {
            "legacyName": "Zoé  Müller", "migratedAt": NOW, "source": "migration",
        },
    };
    assert_eq!(raw(&made(0, &response(), &[]).unwrap()), raw(&expected));
}

#[test]
fn mail_addresses_pass_the_validator_of_the_application() {
    let validator = regex::Regex::new(r"^\w+([.-]?\w+)*@\w+([.-]?\w+)*(\.\w{2,3})+$").unwrap();
    for name in ["Zoé", "李", "😀", "x".repeat(200).as_str(), "a b c", "Œ"] {
        let mut source = response();
        source.insert("name", name);
        let user = made(0, &source, &[]).unwrap();
        assert!(validator.is_match(user.get_str("email").unwrap()), "{user}");
    }
}

#[test]
fn the_administrator_is_one_whatever_the_capitals() {
    let mut source = response();
    source.insert("name", "Riri ");
    source.insert("createdAt", "2024-03-05");
    source.remove("token");
    let user = made(0, &source, &[]).unwrap();
    assert_eq!(user.get_str("role").unwrap(), "admin");
    let date = DateTime::parse_rfc3339_str("2024-03-05T00:00:00Z").unwrap();
    assert_eq!(user.get_document("metadata").unwrap().get("registeredAt"), Some(&date.into()));
}

#[test]
fn nobody_is_made_of_a_document_without_a_name() {
    for name in [Bson::Null, "".into(), " \u{a0} ".into(), Bson::Array(vec![])] {
        let mut source = response();
        source.insert("name", name);
        assert_eq!(made(0, &source, &[]), Err("no usable name".to_owned()));
        assert_eq!(made(1, &source, &[]), Err("no usable name".to_owned()));
        assert_eq!(made(2, &source, &[]), Err("no usable name or token".to_owned()));
    }
    let mut source = response();
    source.remove("name");
    assert_eq!(made(0, &source, &[]), Err("no usable name".to_owned()));
}

#[test]
fn a_response_becomes_a_submission() {
    let answer = |number: i32, question: &str, answer: &str| {
        doc! {
            "questionId": format!("q_{number}"), "type": "text", "question": question,
            "answer": answer,
        }
    };
    let id = "65e6f0000000000000000001";
    let expected = doc! {
        "_id": derived_id("form-a-friend", "submissions", id),
        "userId": user_id(),
        "month": "2024-03",
        "responses": [
            answer(1, "En rapide, comment ça va ?", "Très bien"),
            answer(2, "Photo", "https://res.cloudinary.com/x/y.jpg"),
            answer(3, "Rien", ""),
            answer(4, "Long", &"é".repeat(10_000)),
        ],
        "completionRate": 30,
        "isComplete": false,
        "submittedAt": when(),
        "lastModifiedAt": when(),
        "formVersion": "v1_migration",
        "createdAt": when(),
        "updatedAt": NOW,
    };
    let user = doc! { "_id": user_id() };
    assert_eq!(raw(&made(1, &response(), &[user]).unwrap()), raw(&expected));
}

#[test]
fn odd_responses_become_submissions_too() {
    let user = [doc! { "_id": user_id() }];
    let mut source = response();
    source.remove("responses");
    source.remove("createdAt");
    let submission = made(1, &source, &user).unwrap();
    assert_eq!(submission.get("responses"), Some(&Bson::Array(vec![])));
    assert_eq!(submission.get("completionRate"), Some(&Bson::Int32(0)));
    assert_eq!(submission.get("submittedAt"), Some(&NOW.into()));

    let answers: Vec<Bson> = (0..12).map(|at| doc! { "answer": at }.into()).collect();
    source.insert("responses", answers);
    let submission = made(1, &source, &user).unwrap();
    assert_eq!(submission.get("completionRate"), Some(&Bson::Int32(100)));
    assert_eq!(submission.get("isComplete"), Some(&Bson::Boolean(true)));

    source.insert("responses", vec![Bson::Null, "x".into(), doc! { "question": 5 }.into()]);
    let submission = made(1, &source, &user).unwrap();
    let items = submission.get_array("responses").unwrap();
    assert_eq!(items.len(), 3);
    assert_eq!(
        items[2],
        doc! { "questionId": "q_3", "type": "text", "question": "5", "answer": "" }.into()
    );
    for month in [Bson::Null, "2024-13".into(), "2024-1".into(), "mars".into()] {
        source.insert("month", month);
        assert_eq!(made(1, &source, &user), Err("no usable month".to_owned()));
    }
}

#[test]
fn a_private_link_becomes_an_invitation() {
    let user = doc! { "_id": user_id(), "email": "zoe_muller@migrated.example.com" };
    let id = "65e6f0000000000000000001";
    let expected = doc! {
        "_id": derived_id("form-a-friend", "invitations", id),
        "fromUserId": user_id(),
        "toEmail": "zoe_muller@migrated.example.com",
        "toUserId": user_id(),
        "month": "2024-03",
        "token": "ab".repeat(32),
        "type": "user",
        "status": "submitted",
        "tracking": {
            "createdAt": when(), "sentAt": when(), "openedAt": when(), "startedAt": when(),
            "submittedAt": when(),
        },
        "metadata": { "template": "migration", "priority": "normal" },
    };
    assert_eq!(raw(&made(2, &response(), &[user]).unwrap()), raw(&expected));
}

#[test]
fn the_phases_are_those_of_the_application() {
    let migration = preset();
    assert_eq!(migration.variables["admin"], " RIRI");
    assert_eq!(migration.max_left, Some(0.1));
    let [users, submissions, invitations] = &migration.phases[..] else { panic!("three phases") };
    assert!(users.is_grouped() && !submissions.is_grouped() && !invitations.is_grouped());
    let mode = PasswordMode::Hash(Algorithm::Bcrypt { cost: 12 });
    assert_eq!(users.password.as_ref().map(|password| password.mode), Some(mode));
    assert_eq!(users.unique[0].collision, Collision::Number { length: 30 });
    assert_eq!(submissions.unique[0].fields, ["userId", "month"]);
    assert_eq!(invitations.filter, Some(doc! { "token": { "$gt": "" } }));
    assert_eq!(invitations.references[0].fields, ["email"]);
    let place = submissions.place(&raw(&response()), NOW).unwrap();
    assert_eq!(place.references, ["zoé müller"]);
    assert_eq!(place.key, "65e6f0000000000000000001");
    let late = submissions.keep_order(0, &raw(&response()));
    let never = submissions.keep_order(0, &raw(&doc! { "createdAt": "soon" }));
    assert!(never < late);
    let reads = ["_id", "createdAt", "month", "name", "responses"].map(str::to_owned).to_vec();
    assert_eq!(submissions.reads(), Some(reads));
}
