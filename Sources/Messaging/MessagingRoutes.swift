public import Web

/// What people and scripts ask of messaging.
public let sendingRoutes: [Route] =
    templateRoutes + senderRoutes + campaignRoutes + inboundRoutes + linkHitRoutes + usageRoutes + consentRequestRoutes
    + recurringRoutes
