import Messaging
import Web

serve("webhooks", webhookRoutes + preferenceRoutes + linkRoutes)
