public import Web

/// All that the audience offers over HTTP: what its responder serves and the API's document names.
public let audienceRoutes: [Route] =
    contactRoutes + importRoutes + fieldRoutes + listRoutes + consentRoutes + suppressionRoutes + segmentRoutes + segmentActionRoutes
    + scoreRoutes + segmentWorkRoutes + explainRoutes
