//! One signed request of each provider, and where it comes from.
//!
//! `published` vectors stand in the provider's documentation or in the tests of its own libraries (delivery ids, where they
//! are not signed, are ours); `own` ones were computed with Python's `hmac` and `cryptography` from the provider's
//! description, because it publishes none with its key.

/// One signed request of a provider.
pub(super) struct Vector {
    pub(super) scheme: &'static str,
    /// Where it comes from.
    pub(super) source: &'static str,
    pub(super) secret: &'static str,
    pub(super) headers: &'static [(&'static str, &'static str)],
    pub(super) method: &'static str,
    pub(super) url: &'static str,
    pub(super) body: &'static str,
    /// When it was signed, in seconds; zero where nothing says so.
    pub(super) signed_at: i64,
    pub(super) delivery_id: Option<&'static str>,
    pub(super) covered: Covered,
    /// Headers that no signature covers.
    pub(super) unsigned: &'static [&'static str],
}

/// What of the body is signed.
pub(super) enum Covered {
    All,
    /// These texts in it.
    Texts(&'static [&'static str]),
}

const VECTOR: Vector = Vector {
    scheme: "",
    source: OWN,
    secret: "",
    headers: &[],
    method: "POST",
    url: "",
    body: "",
    signed_at: 0,
    delivery_id: None,
    covered: Covered::All,
    unsigned: &[],
};

const OWN: &str = "own";

const SLACK_BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=\
    G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&\
    response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&\
    trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";

const OWN_BODY: &str = r#"{"id":"evt_1","event_id":"ev-1","webhookTimestamp":1767225600123}"#;

pub(super) const VECTORS: &[Vector] = &[
    Vector {
        scheme: "github",
        source: r#"published: docs.github.com, "Validating webhook deliveries" (the delivery id is ours)"#,
        secret: "It's a Secret to Everybody",
        headers: &[
            (
                "x-hub-signature-256",
                "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
            ),
            ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
        ],
        body: "Hello, World!",
        delivery_id: Some("72d3162e-cc78-11e3-81ab-4c9367dc0958"),
        unsigned: &["x-github-delivery"],
        ..VECTOR
    },
    Vector {
        scheme: "slack",
        source: "published: docs.slack.dev/authentication/verifying-requests-from-slack",
        secret: "8f742231b10e8888abcd99yyyzzz85a5",
        headers: &[
            ("x-slack-signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"),
            ("x-slack-request-timestamp", "1531420618"),
        ],
        body: SLACK_BODY,
        signed_at: 1_531_420_618,
        ..VECTOR
    },
    Vector {
        scheme: "standard",
        source: r#"published: docs.svix.com, "Verifying webhooks manually"; the Standard Webhooks libraries test with it too"#,
        secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        headers: &[
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ],
        body: r#"{"test": 2432232314}"#,
        signed_at: 1_614_265_330,
        delivery_id: Some("msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ..VECTOR
    },
    Vector {
        scheme: "svix",
        source: "published: as above, under the names that Svix itself sends",
        secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        headers: &[
            ("svix-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("svix-timestamp", "1614265330"),
            ("svix-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ],
        body: r#"{"test": 2432232314}"#,
        signed_at: 1_614_265_330,
        delivery_id: Some("msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ..VECTOR
    },
    Vector {
        scheme: "square",
        source: "published: developer.squareup.com/docs/webhooks/step3validate",
        secret: "asdf1234",
        headers: &[("x-square-hmacsha256-signature", "2kRE5qRU2tR+tBGlDwMEw2avJ7QM4ikPYD/PJ3bd9Og=")],
        url: "https://example.com/webhook",
        body: r#"{"hello":"world"}"#,
        ..VECTOR
    },
    Vector {
        scheme: "stripe",
        source: OWN,
        secret: "whsec_test_key",
        headers: &[(
            "stripe-signature",
            "t=1767225600,v1=0255f7c3cc22fccce525c2ab5511ec53341d874920a2de78f5c53f1dab147489,v0=00",
        )],
        body: OWN_BODY,
        signed_at: 1_767_225_600,
        delivery_id: Some("evt_1"),
        ..VECTOR
    },
    Vector {
        scheme: "shopify",
        source: OWN,
        secret: "shop_key",
        headers: &[
            ("x-shopify-hmac-sha256", "t64Q8RWJzB/l9rCBNIYXArED5Yd8jzt22OdxnURdP+w="),
            ("x-shopify-webhook-id", "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043"),
        ],
        body: OWN_BODY,
        delivery_id: Some("b54557e4-bdd9-4b37-8a5f-bf7d70bcd043"),
        unsigned: &["x-shopify-webhook-id"],
        ..VECTOR
    },
    Vector {
        scheme: "linear",
        source: OWN,
        secret: "lin_wh_key",
        headers: &[
            ("linear-signature", "d002f777d4330759560eb01c4ffb1af1c1f3734766c516ad668280c94df18785"),
            ("linear-delivery", "234d1a4e-b617-4388-90fe-adc3633d6b72"),
        ],
        body: OWN_BODY,
        signed_at: 1_767_225_600,
        delivery_id: Some("234d1a4e-b617-4388-90fe-adc3633d6b72"),
        unsigned: &["linear-delivery"],
        ..VECTOR
    },
    Vector {
        scheme: "paddle",
        source: OWN,
        secret: "pdl_ntfset_key",
        headers: &[(
            "paddle-signature",
            "ts=1767225600;h1=c7dad1a31e9c45fe63946e52f830bd93496551b1c6ab9ae89d25392d6ba121df",
        )],
        body: OWN_BODY,
        signed_at: 1_767_225_600,
        delivery_id: Some("ev-1"),
        ..VECTOR
    },
    Vector {
        scheme: "twilio",
        source: "published: the JSON case of Twilio's own libraries (twilio-python, tests/unit/test_request_validator.py)",
        secret: "12345",
        headers: &[
            ("x-twilio-signature", "a9nBmqA0ju/hNViExpshrM61xv4="),
            ("content-type", "application/json"),
            ("i-twilio-idempotency-token", "6d8d2a3b-9b8c-4d8e-8d0a-1b9f8e2f7c11"),
        ],
        url: "https://mycompany.com/myapp.php?foo=1&bar=2&bodySHA256=\
              0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620",
        body: r#"{"property": "value", "boolean": true}"#,
        delivery_id: Some("6d8d2a3b-9b8c-4d8e-8d0a-1b9f8e2f7c11"),
        unsigned: &["content-type", "i-twilio-idempotency-token"],
        ..VECTOR
    },
    Vector {
        scheme: "zoom",
        source: OWN,
        secret: "zoom_key",
        headers: &[
            ("x-zm-signature", "v0=d7771d091e4fa2e2a5404e89eef491c08a1117c46a41dbab4ff190cea51761ad"),
            ("x-zm-request-timestamp", "1767225600"),
        ],
        body: OWN_BODY,
        signed_at: 1_767_225_600,
        ..VECTOR
    },
    Vector {
        scheme: "gitlab",
        source: OWN,
        secret: "glwh_0123456789",
        headers: &[
            ("x-gitlab-token", "glwh_0123456789"),
            ("idempotency-key", "f5e5f430-f57b-4e6e-9fac-d9128cd7232f"),
            ("x-gitlab-event-uuid", "13792a34-cac6-4fda-95a8-c58e00a3954e"),
        ],
        body: OWN_BODY,
        delivery_id: Some("f5e5f430-f57b-4e6e-9fac-d9128cd7232f"),
        covered: Covered::Texts(&[]),
        unsigned: &["idempotency-key", "x-gitlab-event-uuid"],
        ..VECTOR
    },
    Vector {
        scheme: "bitbucket",
        source: r#"published: support.atlassian.com, "Manage webhooks", "Secure webhooks""#,
        secret: "It's a Secret to Everybody",
        headers: &[
            ("x-hub-signature", "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9"),
            ("x-request-uuid", "28f2b2b5-3d1e-4c1a-9d0a-0b2f6a6f2f10"),
        ],
        body: "Hello World!",
        delivery_id: Some("28f2b2b5-3d1e-4c1a-9d0a-0b2f6a6f2f10"),
        unsigned: &["x-request-uuid"],
        ..VECTOR
    },
    Vector {
        scheme: "circleci",
        source: r#"published: circleci.com/docs, "Outbound webhooks", "Validate webhooks""#,
        secret: "hunter123",
        headers: &[(
            "circleci-signature",
            "v1=9be2242094a9a8c00c64306f382a7f9d691de910b4a266f67bd314ef18ac49fa",
        )],
        body: "an-important-request-payload",
        ..VECTOR
    },
    Vector {
        scheme: "hubspot_v1",
        source: r#"published: developers.hubspot.com, "Validating requests", v1"#,
        secret: "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy",
        headers: &[(
            "x-hubspot-signature",
            "232db2615f3d666fe21a8ec971ac7b5402d33b9a925784df3ca654d05f4817de",
        )],
        body: r#"[{"eventId":1,"subscriptionId":12345,"portalId":62515,"occurredAt":1564113600000,"subscriptionType":"contact.creation","attemptNumber":0,"objectId":123,"changeSource":"CRM","changeFlag":"NEW","appId":54321}]"#,
        ..VECTOR
    },
    Vector {
        scheme: "hubspot_v2",
        source: r#"published: developers.hubspot.com, "Validating requests", v2"#,
        secret: "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy",
        headers: &[(
            "x-hubspot-signature",
            "eee2dddcc73c94d699f5e395f4b9d454a069a6855fbfa152e91e88823087200e",
        )],
        method: "GET",
        url: "https://www.example.com/webhook_uri",
        body: "",
        ..VECTOR
    },
    Vector {
        scheme: "adyen",
        source: "published: the tests of Adyen's own libraries (adyen-ruby-api-library, spec/utils/hmac_validator_spec.rb)",
        secret: "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056",
        headers: &[],
        body: r#"{"live":"false","notificationItems":[{"NotificationRequestItem":{"additionalData":{"hmacSignature":"coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0="},"amount":{"value":1130,"currency":"EUR"},"pspReference":"7914073381342284","eventCode":"AUTHORISATION","eventDate":"2019-05-06T17:15:34.121+02:00","merchantAccountCode":"TestMerchant","merchantReference":"TestPayment-1407325143704","paymentMethod":"visa","success":"true"}}]}"#,
        covered: Covered::Texts(&[
            "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0=",
            "1130",
            "EUR",
            "7914073381342284",
            "AUTHORISATION",
            "TestMerchant",
            "TestPayment-1407325143704",
            r#""true""#,
        ]),
        ..VECTOR
    },
    Vector {
        scheme: "box",
        source: "published: the tests of Box's own library (box-node-sdk, webhooks)",
        secret: "SamplePrimaryKey",
        headers: &[
            ("box-signature-primary", "6TfeAW3A1PASkgboxxA5yqHNKOwFyMWuEXny/FPD5hI="),
            ("box-delivery-timestamp", "2020-01-01T00:00:00-07:00"),
            ("box-delivery-id", "f96bb54b-ee16-4fc5-aa65-8c2d9e5b546f"),
        ],
        body: r#"{"type":"webhook_event","webhook":{"id":"1234567890"},"trigger":"FILE.UPLOADED","source":{"id":"1234567890","type":"file","name":"Test.txt"}}"#,
        signed_at: 1577862000,
        delivery_id: Some("f96bb54b-ee16-4fc5-aa65-8c2d9e5b546f"),
        unsigned: &["box-delivery-id"],
        ..VECTOR
    },
    Vector {
        scheme: "box",
        source: "published: as above, with the second header and key",
        secret: "SampleSecondaryKey",
        headers: &[
            ("box-signature-secondary", "v+1CD1Jdo3muIcbpv5lxxgPglOqMfsNHPV899xWYydo="),
            ("box-delivery-timestamp", "2020-01-01T00:00:00-07:00"),
            ("box-delivery-id", "f96bb54b-ee16-4fc5-aa65-8c2d9e5b546f"),
        ],
        body: r#"{"type":"webhook_event","webhook":{"id":"1234567890"},"trigger":"FILE.UPLOADED","source":{"id":"1234567890","type":"file","name":"Test.txt"}}"#,
        signed_at: 1577862000,
        delivery_id: Some("f96bb54b-ee16-4fc5-aa65-8c2d9e5b546f"),
        unsigned: &["box-delivery-id"],
        ..VECTOR
    },
    Vector {
        scheme: "mux",
        source: "published: the tests of Mux's own libraries (mux-node-sdk, webhooks)",
        secret: "SuperSecret123",
        headers: &[(
            "mux-signature",
            "t=1565125718,v1=854ece4c22acef7c66b57d4e504153bc512595e8e9c772ece2a68150548c19a7",
        )],
        body: r#"{"test":"body"}"#,
        signed_at: 1565125718,
        ..VECTOR
    },
    Vector {
        scheme: "sanity",
        source: "published: the tests of Sanity's own library (sanity-io/webhook-toolkit)",
        secret: "test",
        headers: &[
            ("sanity-webhook-signature", "t=1633519811129,v1=tLa470fx7qkLLEcMOcEUFuBbRSkGujyskxrNXcoh0N0"),
            ("idempotency-key", "d9b2c1e0-5a3f-4c77-8e8a-6f1f0c1f7d55"),
        ],
        body: r#"{"_id":"resume"}"#,
        signed_at: 1633519811,
        delivery_id: Some("d9b2c1e0-5a3f-4c77-8e8a-6f1f0c1f7d55"),
        unsigned: &["idempotency-key"],
        ..VECTOR
    },
    Vector {
        scheme: "sendgrid",
        source: "published: the tests of SendGrid's own libraries (sendgrid-python, test/unit/test_eventwebhook.py)",
        secret: "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==",
        headers: &[
            (
                "x-twilio-email-event-webhook-signature",
                "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=",
            ),
            ("x-twilio-email-event-webhook-timestamp", "1600112502"),
        ],
        body: "[{\"email\":\"hello@world.com\",\"event\":\"dropped\",\"reason\":\"Bounced Address\",\"sg_event_id\":\"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA\",\"sg_message_id\":\"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0\",\"smtp-id\":\"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>\",\"timestamp\":1600112492}]\r\n",
        signed_at: 1600112502,
        ..VECTOR
    },
    Vector {
        scheme: "asana",
        source: OWN,
        secret: "b537207f20cbfa02357cf448134da559",
        headers: &[("x-hook-signature", "81c833964e38423e34937d4b0095f12f37bd10637e043a66d203fc6f780190ea")],
        body: r#"{"events":[{"action":"changed","resource":{"gid":"1337","resource_type":"task"}}]}"#,
        ..VECTOR
    },
    Vector {
        scheme: "dropbox",
        source: OWN,
        secret: "dbx_app_secret",
        headers: &[(
            "x-dropbox-signature",
            "de8f7a8e1b314e641e6526056a34991bbd96723971421079fc6b6def684fc9f5",
        )],
        body: r#"{"list_folder":{"accounts":["dbid:AAH4f99T0taONIb-OurWxbNQ6ywGRopQngc"]},"delta":{"users":[12345678]}}"#,
        ..VECTOR
    },
    Vector {
        scheme: "gitea",
        source: OWN,
        secret: "gitea_key",
        headers: &[
            ("x-gitea-signature", "99c686d1432c526ac44bc68e5d0caae9bc1e5337cbacf816034933523a83775f"),
            ("x-gitea-delivery", "f6266f16-1bf3-46a5-9ea4-602e06ead473"),
        ],
        body: r#"{"ref":"refs/heads/main","repository":{"full_name":"gitea/webhooks"}}"#,
        delivery_id: Some("f6266f16-1bf3-46a5-9ea4-602e06ead473"),
        unsigned: &["x-gitea-delivery"],
        ..VECTOR
    },
    Vector {
        scheme: "intercom",
        source: OWN,
        secret: "intercom_client_secret",
        headers: &[("x-hub-signature", "sha1=5372d4866f18a638067e5ef9248b517eaf7c5e02")],
        body: r#"{"type":"notification_event","id":"notif_4e0a3a80","topic":"conversation.user.created"}"#,
        delivery_id: Some("notif_4e0a3a80"),
        ..VECTOR
    },
    Vector {
        scheme: "jira",
        source: r#"published: developer.atlassian.com, "Webhooks", "Secure admin webhooks""#,
        secret: "It's a Secret to Everybody",
        headers: &[
            ("x-hub-signature", "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9"),
            ("x-atlassian-webhook-identifier", "2f6a9c11-8a7d-4a2e-b1c4-8f8b0a4d7e21"),
        ],
        body: "Hello World!",
        delivery_id: Some("2f6a9c11-8a7d-4a2e-b1c4-8f8b0a4d7e21"),
        unsigned: &["x-atlassian-webhook-identifier"],
        ..VECTOR
    },
    Vector {
        scheme: "meta",
        source: OWN,
        secret: "meta_app_secret",
        headers: &[(
            "x-hub-signature-256",
            "sha256=289aa09c653e269ca4ebb5db02294231e72bd19d27aca1467b6eec627ca02376",
        )],
        body: r#"{"object":"page","entry":[{"id":"1","time":1767225600,"changes":[]}]}"#,
        ..VECTOR
    },
    Vector {
        scheme: "notion",
        source: OWN,
        secret: "secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl",
        headers: &[(
            "x-notion-signature",
            "sha256=b30b43ac8fa987d169cb3ee2425866b953d974456e21e4c6d4d9b18fee3249b4",
        )],
        body: r#"{"id":"367cba44-b6f3-4c92-81e7-6a2e9659efd4","type":"page.created"}"#,
        delivery_id: Some("367cba44-b6f3-4c92-81e7-6a2e9659efd4"),
        ..VECTOR
    },
    Vector {
        scheme: "pagerduty",
        source: OWN,
        secret: "pd_key",
        headers: &[(
            "x-pagerduty-signature",
            "v1=0373ad2f065aad038d5c6a223786d3d3e7bfc800e61d8584e304086f4eceb7c5",
        )],
        body: r#"{"event":{"id":"5ac64822-4adc-4fda-ade0-410becf0de4f","event_type":"incident.triggered"}}"#,
        delivery_id: Some("5ac64822-4adc-4fda-ade0-410becf0de4f"),
        ..VECTOR
    },
    Vector {
        scheme: "paystack",
        source: OWN,
        secret: "sk_test_paystack",
        headers: &[(
            "x-paystack-signature",
            "25d6199dc0802ae6c719dae25e6e8c7485fb6d1ac159603916ce175d0f11a42219f0c453bcd4c9b262c85ebcd81427f4231c993777d03c3697576b3777e3f74f",
        )],
        body: r#"{"event":"charge.success","data":{"id":302961}}"#,
        ..VECTOR
    },
    Vector {
        scheme: "razorpay",
        source: OWN,
        secret: "rzp_key",
        headers: &[
            ("x-razorpay-signature", "c8a0c1f9ec137bf71ba80326662abdd2b06883527c385a8f6f2395d073258520"),
            ("x-razorpay-event-id", "evt_00000000000001"),
        ],
        body: r#"{"entity":"event","event":"payment.captured"}"#,
        delivery_id: Some("evt_00000000000001"),
        unsigned: &["x-razorpay-event-id"],
        ..VECTOR
    },
    Vector {
        scheme: "sentry",
        source: OWN,
        secret: "sentry_client_secret",
        headers: &[
            ("sentry-hook-signature", "b5dd9e56177cadd7830daf2e04614ceca97307db11d8836667cea9d67ba28ef7"),
            ("request-id", "4d8a2f0c9be14f4c8f9a3f2d1c0b7a66"),
        ],
        body: r#"{"action":"created","installation":{"uuid":"24b3e8f8"}}"#,
        delivery_id: Some("4d8a2f0c9be14f4c8f9a3f2d1c0b7a66"),
        unsigned: &["request-id"],
        ..VECTOR
    },
    Vector {
        scheme: "typeform",
        source: OWN,
        secret: "typeform_key",
        headers: &[("typeform-signature", "sha256=pVcv99a2ecNn7FnPUiiwyADKQ9OPTQz6wpPvd6TIlBs=")],
        body: r#"{"event_id":"LtWXD3crgy","event_type":"form_response"}"#,
        delivery_id: Some("LtWXD3crgy"),
        ..VECTOR
    },
    Vector {
        scheme: "vercel",
        source: OWN,
        secret: "vercel_key",
        headers: &[("x-vercel-signature", "68e86ba0e86a7bbc7c50e9917fd43b7435c4178d")],
        body: r#"{"id":"uev_1","type":"deployment.created"}"#,
        delivery_id: Some("uev_1"),
        ..VECTOR
    },
    Vector {
        scheme: "woocommerce",
        source: OWN,
        secret: "wc_key",
        headers: &[
            ("x-wc-webhook-signature", "YGzScoBrR3NzEgYCfcdczrTu3f/WUU+R6qhUtRzO8xU="),
            ("x-wc-webhook-delivery-id", "a1b2c3d4e5f60718293a4b5c6d7e8f90"),
        ],
        body: r#"{"id":727,"status":"processing"}"#,
        delivery_id: Some("a1b2c3d4e5f60718293a4b5c6d7e8f90"),
        unsigned: &["x-wc-webhook-delivery-id"],
        ..VECTOR
    },
    Vector {
        scheme: "x",
        source: OWN,
        secret: "x_consumer_secret",
        headers: &[("x-twitter-webhooks-signature", "sha256=k/wWnsnK/NrW8Bsf/KP6mj31eCbcpUoq+45SDeforUo=")],
        body: r#"{"for_user_id":"2244994945","tweet_create_events":[]}"#,
        ..VECTOR
    },
    Vector {
        scheme: "xero",
        source: OWN,
        secret: "xero_key",
        headers: &[("x-xero-signature", "5Ig9zGT68dsa2GCWbswGfMGjSx1AVIdW3/mMV/p86so=")],
        body: r#"{"events":[],"firstEventSequence":0,"lastEventSequence":0,"entropy":"S0m3r4nd0mt3xt"}"#,
        ..VECTOR
    },
    Vector {
        scheme: "adyen_platform",
        source: OWN,
        secret: "DFB1EB5485895CFA84146406857104ABB4CBCABDC8AAF103A624C8F6A3EAAB17",
        headers: &[("hmacsignature", "dEWWT4ynaysydsamn8oQVvXoyXLYFYogqaquc8MphvM=")],
        body: r#"{"data":{"balancePlatform":"YOUR_BALANCE_PLATFORM"},"type":"balancePlatform.accountHolder.created"}"#,
        ..VECTOR
    },
    Vector {
        scheme: "trello",
        source: OWN,
        secret: "trello_key",
        headers: &[("x-trello-webhook", "XOL6v5vHpOsU4n0c6ELxEwjr+hw=")],
        url: "https://example.com/trello",
        body: r#"{"action":{"id":"51f9424bcd6e040f3c002412","type":"updateCard"}}"#,
        delivery_id: Some("51f9424bcd6e040f3c002412"),
        ..VECTOR
    },
    Vector {
        scheme: "telegram",
        source: OWN,
        secret: "tg_0123456789",
        headers: &[("x-telegram-bot-api-secret-token", "tg_0123456789")],
        body: r#"{"update_id":10000,"message":{"text":"hi"}}"#,
        delivery_id: Some("10000"),
        covered: Covered::Texts(&[]),
        ..VECTOR
    },
    Vector {
        scheme: "calendly",
        source: OWN,
        secret: "cal_key",
        headers: &[(
            "calendly-webhook-signature",
            "t=1767225600,v1=37a222279e31ee8baadaf3338560e11f9685129c0d4d5eb203ea68a444ae8a52",
        )],
        body: r#"{"event":"invitee.created","payload":{"name":"A"}}"#,
        signed_at: 1767225600,
        ..VECTOR
    },
    Vector {
        scheme: "zendesk",
        source: OWN,
        secret: "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==",
        headers: &[
            ("x-zendesk-webhook-signature", "Z0B5MSAx2/qdxR9xvgzFN21NJcLa2cKwVxd4OgE0BcE="),
            ("x-zendesk-webhook-signature-timestamp", "2026-01-01T00:00:00Z"),
            ("x-zendesk-webhook-invocation-id", "01FQ6QVGWWT1Q8HF8QNKBVNH4C"),
        ],
        body: r#"{"type":"zen:event-type:ticket.created","id":"2b24ef10"}"#,
        signed_at: 1767225600,
        delivery_id: Some("01FQ6QVGWWT1Q8HF8QNKBVNH4C"),
        unsigned: &["x-zendesk-webhook-invocation-id"],
        ..VECTOR
    },
    Vector {
        scheme: "twitch",
        source: OWN,
        secret: "twitch_key_0123",
        headers: &[
            (
                "twitch-eventsub-message-signature",
                "sha256=ad2a7baebe5e1bb5f149164055db7259df8985dbf3540e2e8aaba0cfb146e516",
            ),
            ("twitch-eventsub-message-id", "e76c6bd4-55c9-4987-8304-da1588d8988b"),
            ("twitch-eventsub-message-timestamp", "2026-01-01T00:00:00.634234626Z"),
        ],
        body: r#"{"subscription":{"type":"channel.follow"},"event":{"user_login":"cool_user"}}"#,
        signed_at: 1767225600,
        delivery_id: Some("e76c6bd4-55c9-4987-8304-da1588d8988b"),
        ..VECTOR
    },
    // An id may be anything ("opaque"); some are base64.
    Vector {
        scheme: "twitch",
        source: OWN,
        secret: "twitch_key_0123",
        headers: &[
            (
                "twitch-eventsub-message-signature",
                "sha256=3b422d09672fa93857385cc5c2b3a41f0ee6586c4ddaa4c1c71acd41000c8c3d",
            ),
            ("twitch-eventsub-message-id", "k1SWN3SGe2BeNYxkD_cjR4maZ99PDRDd6Zx48W9t5qw="),
            ("twitch-eventsub-message-timestamp", "2026-01-01T00:00:00.634234626Z"),
        ],
        body: r#"{"subscription":{"type":"channel.follow"},"event":{"user_login":"cool_user"}}"#,
        signed_at: 1767225600,
        delivery_id: Some("k1SWN3SGe2BeNYxkD_cjR4maZ99PDRDd6Zx48W9t5qw="),
        ..VECTOR
    },
    Vector {
        scheme: "hubspot",
        source: OWN,
        secret: "hubspot_client_secret",
        headers: &[
            ("x-hubspot-signature-v3", "oeuRvAHxaXge9SW9qJ99bxCmpHe1PN6i9LLqLpGRqNI="),
            ("x-hubspot-request-timestamp", "1767225600123"),
        ],
        url: "https://example.com/hooks/default/hubspot?a=1",
        body: r#"[{"eventId":1,"objectId":123}]"#,
        signed_at: 1767225600,
        ..VECTOR
    },
    // Signed over the URL with the twelve escapes decoded that HubSpot names, and the others as they are.
    Vector {
        scheme: "hubspot",
        source: OWN,
        secret: "hubspot_client_secret",
        headers: &[
            ("x-hubspot-signature-v3", "ApKjDJMfHZbZZRWTILHBfRIPccaj7eoGvaHyFdOSe1o="),
            ("x-hubspot-request-timestamp", "1767225600123"),
        ],
        url: "https://example.com/hooks/default/hubspot?to=https%3A%2F%2Fapp.example%2Fa%3Fb&at=a%40b%21%24%27%28%29%2A%2C%3B&kept=%20%26%3D%25%2B%23%253A",
        body: r#"[{"eventId":1,"objectId":123}]"#,
        signed_at: 1767225600,
        ..VECTOR
    },
    Vector {
        scheme: "mailgun",
        source: OWN,
        secret: "key-0123456789",
        headers: &[],
        body: r#"{"signature":{"timestamp":"1767225600","token":"a8ce0edb2dd8301dee6c2405235584e45aa91d1e9f979f3de0","signature":"ea27f8c067c50e42a520a9d95bc28dea38a3f57b2ae63c183d8d5703af54e124"},"event-data":{"event":"opened"}}"#,
        signed_at: 1767225600,
        delivery_id: Some("a8ce0edb2dd8301dee6c2405235584e45aa91d1e9f979f3de0"),
        covered: Covered::Texts(&[
            r#""1767225600""#,
            "a8ce0edb2dd8301dee6c2405235584e45aa91d1e9f979f3de0",
            "ea27f8c067c50e42a520a9d95bc28dea38a3f57b2ae63c183d8d5703af54e124",
        ]),
        ..VECTOR
    },
    Vector {
        scheme: "discord",
        source: OWN,
        secret: "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8",
        headers: &[
            (
                "x-signature-ed25519",
                "1c83bfa818837618b093097148c40717c7d1f6649fc189877694f3d5583395256cfa97b65f5983feaba0aa19e8c51cac7c486343b5bcef116dcffd07de5e720f",
            ),
            ("x-signature-timestamp", "1767225600"),
        ],
        body: r#"{"id":"846462639134605312","application_id":"1","type":2,"token":"t"}"#,
        signed_at: 1767225600,
        delivery_id: Some("846462639134605312"),
        ..VECTOR
    },
    Vector {
        scheme: "standard",
        source: "own, v1a",
        secret: "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
        headers: &[
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1767225600"),
            (
                "webhook-signature",
                "v1a,L9opgQkopt6SDvW7zMxUhU+inXhFJK70+ViIhdyRZodiVSRhwTXQ/olBmXXAZMmBIYmwKboiMieHcy6OVwvMBw==",
            ),
        ],
        body: r#"{"test": 2432232314}"#,
        signed_at: 1767225600,
        delivery_id: Some("msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ..VECTOR
    },
    Vector {
        scheme: "svix",
        source: "own, v1a",
        secret: "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
        headers: &[
            ("svix-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("svix-timestamp", "1767225600"),
            (
                "svix-signature",
                "v1a,L9opgQkopt6SDvW7zMxUhU+inXhFJK70+ViIhdyRZodiVSRhwTXQ/olBmXXAZMmBIYmwKboiMieHcy6OVwvMBw==",
            ),
        ],
        body: r#"{"test": 2432232314}"#,
        signed_at: 1767225600,
        delivery_id: Some("msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ..VECTOR
    },
];
